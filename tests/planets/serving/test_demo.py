"""The page to try the model in: `make demo` as a user calls it, asked by gradio's own client."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkouts import ROOT, free_ports
from support.synthetic import make_labels, make_pixels, write_chips

from planets.serving import PredictionError
from planets.serving.cli import demo
from planets.serving.demo import rows
from planets.serving.predictor import Prediction, Predictor

PREDICTION = Prediction("/tmp/upload/a.jpg", ("clear",), {"cloudy": 0.25, "clear": 0.75})


def test_a_row_for_each_label_the_most_probable_first() -> None:
    assert rows([PREDICTION], [0.3, 0.2]) == [
        ["a.jpg", "clear", "0.750", "0.200", "yes"],
        ["a.jpg", "cloudy", "0.250", "0.300", ""],
    ]


def test_without_gradio_the_command_names_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PredictionError, match="run `make demo`"):
        demo()


@pytest.fixture
def page(tmp_path: Path, bundle_folder: Path) -> Iterator[tuple[Path, str, subprocess.Popen[str]]]:
    """`make demo` in an environment of its own; its Python, its address and the process."""
    environment, port = tmp_path / "environment", free_ports(1)[0]
    words = (
        f"BUNDLE={bundle_folder}",
        f"DEMO={environment}",
        f"PYTHON={sys.executable}",
        f"ARGS=--port {port}",
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    process = subprocess.Popen(
        ["make", "--silent", "demo", *words],
        cwd=ROOT,
        env=clean | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}/"
    assert process.stdout is not None
    said = f"page    {address}  (Ctrl-C ends it)\n"
    try:
        lines = []
        for line in process.stdout:  # an installation may say something first
            lines.append(line)
            if line == said:
                break
        assert lines[-1:] == [said], lines
        yield environment / "bin" / "python", address, process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


ASK = """
import json, sys
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
print(json.dumps(client.predict([handle_file(file) for file in sys.argv[2:]], api_name="/predict")))
"""


@pytest.mark.slow
def test_pictures_that_are_dropped_get_their_tags(
    page: tuple[Path, str, subprocess.Popen[str]], bundle_folder: Path, tmp_path: Path
) -> None:
    python, address, _ = page
    files = [file for _, file in write_chips(tmp_path, make_pixels(make_labels(2)))]
    asked = subprocess.run(
        [python, "-c", ASK, address, *files], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert asked.returncode == 0, asked.stderr
    gallery, table = json.loads(asked.stdout)
    model = Predictor(bundle_folder)
    predictions = model.predict(files)
    assert [each["caption"] for each in gallery] == [", ".join(each.tags) or "no tag" for each in predictions]
    assert table["data"] == rows(predictions, model.bundle.info.decision.thresholds)
    with urllib.request.urlopen(f"{address}config") as answer:
        config = json.load(answer)
    assert config["analytics_enabled"] is False
    assert not config.get("share_url")
    assert list(tmp_path.glob("planets-demo-*"))
