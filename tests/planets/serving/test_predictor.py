import subprocess
import sys
from pathlib import Path

import pytest
from support.synthetic import jpeg, make_labels, make_pixels, write_chips

from planets import Predictor
from planets.chips import ArchiveError
from planets.serving import PredictionError
from planets.synthetic.labels import LABELS


def test_takes_paths_and_contents(bundle_folder: Path, tmp_path: Path) -> None:
    files = [path for _, path in write_chips(tmp_path, make_pixels(make_labels(3)))]
    predictor = Predictor(bundle_folder)
    by_path = predictor.predict([str(files[0]), *files[1:]])
    by_content = predictor.predict(file.read_bytes() for file in files)
    assert [each.name for each in by_path] == [str(file) for file in files]
    assert [each.name for each in by_content] == ["0", "1", "2"]
    for one, other in zip(by_path, by_content, strict=True):
        assert one[1:] == other[1:]
        assert tuple(one.probabilities) == LABELS
        assert set(one.tags) <= set(LABELS)
    assert predictor.predict([]) == []


def test_both_runtimes_say_the_same(bundle_folder: Path) -> None:
    chips = [jpeg(chip) for chip in make_pixels(make_labels(5))]
    pairs = zip(
        Predictor(bundle_folder).predict(chips), Predictor(bundle_folder, "torch").predict(chips), strict=True
    )
    for by_onnx, by_torch in pairs:
        assert by_onnx.tags == by_torch.tags
        assert by_onnx.probabilities == pytest.approx(by_torch.probabilities, abs=1e-5)


def test_names_the_picture_that_cannot_be_read(bundle_folder: Path) -> None:
    good = jpeg(make_pixels(make_labels(1))[0])
    with pytest.raises(ArchiveError, match="picture 1: the chip is empty"):
        Predictor(bundle_folder).predict([good, b""])


def test_one_picture_alone_is_a_mistake_that_is_told(bundle_folder: Path) -> None:
    with pytest.raises(PredictionError, match=r"predict\(\[picture\]\)"):
        Predictor(bundle_folder).predict("chip.jpg")


LIGHT = """
import sys
import planets
heavy = [name for name in ("numpy", "pydantic", "onnxruntime", "torch") if name in sys.modules]
from planets import Predictor
print(heavy, Predictor.__name__, "torch" in sys.modules, hasattr(planets, "nonsense"))
"""


def test_importing_the_library_brings_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIGHT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] Predictor False False"
