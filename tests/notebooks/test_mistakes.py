"""The notebook is stored without outputs, and runs from its first cell to its last."""

import json
from pathlib import Path

import matplotlib
import pytest
from support.bundles import PLAIN, TARGETS, make
from support.synthetic import make_pixels, write_chips

from planets.metrics.f2 import f2_score
from planets.synthetic.sample import make_sample

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "mistakes.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_it_is_stored_without_outputs() -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in CELLS)


def test_it_explores_a_bundle_on_labeled_chips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, _, _ = make(write_chips(tmp_path / "chips", make_pixels(TARGETS)), {"tiny": 32}, PLAIN)
    bundle.save(tmp_path / "best")
    make_sample(tmp_path / "sample", 20, seed=3, size=32, workers=1)
    monkeypatch.setenv("BUNDLE", str(tmp_path / "best"))
    monkeypatch.setenv("CHIPS", str(tmp_path / "sample"))
    matplotlib.use("agg")
    names: dict[str, object] = {}
    for cell in CELLS:
        exec("".join(cell["source"]), names)
    plt = names["plt"]
    f2 = f2_score(names["truth"], names["predicted"])
    assert f"tiny: mean F2 {f2:.4f} on 20 chips" in capsys.readouterr().out
    assert [len(plt.figure(number).axes) for number in plt.get_fignums()] == [12, 1]
    plt.close("all")
