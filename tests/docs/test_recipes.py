"""The three recipes, followed step by step: a laptop, a team with a ClearML server, labels of one's own."""

import csv
import json
import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager

import pytest
from support.archives import draw_shapes
from support.embedded import running, wait_for
from support.pages import ROOT, blocks

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "recipes.md"


def test_a_laptop(reader):
    draw_shapes(reader.folder / "pictures", 3)
    printed = [reader.run(text) for language, _, text in blocks(PAGE, "A laptop") if language == "sh"]
    assert "test_resnet" in printed[1]
    assert "3 predictions by test_resnet in predictions.csv" in printed[3]


def test_your_own_labels(reader):
    draw_shapes(reader.folder / "shapes", 120)
    reader.follow(PAGE, "Your own labels")
    with (reader.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert [*rows[0]] == ["image_name", "tags", "blank", "blue", "circle", "red", "square"]


def test_a_team(reader, tmp_path):
    """With a server that others run, and workers on this machine alone."""
    with running(tmp_path / "data", "--worker-timeout", "0") as server, ExitStack() as terminals:
        for language, marks, text in blocks(PAGE, "A team with a ClearML server and GPUs"):
            if "write" in marks:
                reader.write(marks["write"], with_values(text, server))
            elif "stays" in marks:
                terminals.enter_context(staying(reader, text, server))
            elif language == "sh" and "needs" not in marks:
                reader.run(text)
    report = json.loads((reader.folder / "output" / "run.json").read_text())
    assert report["server"] == server.api
    assert {step["status"] for step in report["steps"]} == {"completed"}
    queues = {step["name"].partition("_")[0]: step["worker"].rpartition(":")[2] for step in report["steps"]}
    assert queues["train"] == queues["evaluate"] == "gpu-cpu0"
    assert queues["split"].startswith("cpu-")


def with_values(text, server):
    """The lines of `.env.local`, with the values of this server."""
    values = {
        "CLEARML_API_HOST": server.api,
        "CLEARML_WEB_HOST": server.web,
        "CLEARML_FILES_HOST": server.files,
        "CLEARML_API_ACCESS_KEY": server.access_key,
        "CLEARML_API_SECRET_KEY": server.secret_key,
    }
    names = [line.partition("=")[0] for line in text.splitlines()]
    assert names == [*values]
    return "".join(f"{name}={values[name]}\n" for name in names)


@contextmanager
def staying(reader, commands, server):
    """A terminal in which commands run while the block does, from when the server knows their worker."""
    before = len(workers(server))
    process = subprocess.Popen(
        ["bash", "-c", f"exec {commands}"],
        cwd=reader.folder,
        env=reader.environment,
        start_new_session=True,
    )
    try:
        wait_for(lambda: process.poll() is not None or len(workers(server)) > before, commands)
        assert len(workers(server)) > before
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(120)


def workers(server):
    return server.call("workers.get_all").data["workers"]
