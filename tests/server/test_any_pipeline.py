"""The server knows ClearML and no pipeline: no word of this project's steps, results or curves is in it."""

import inspect
import re
from pathlib import Path

from clearml.backend_api import services

import server
from pipeline.config.parameters import Run, run_arguments
from pipeline.config.settings import load_config
from pipeline.controller import COLUMNS, steps_of

CODE = {".py", ".html", ".js", ".css", ".sql"}


def texts(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.suffix in CODE
    }


def places(word: str, text: str) -> list[str]:
    """Lines that hold the word as a literal, a prefix of one or a whole text of the page."""
    literal = re.compile(rf"""["'`]{re.escape(word)}(?:_|["'`])|>\s*{re.escape(word)}\s*<""")
    return [line.strip() for line in text.splitlines() if literal.search(line)]


def test_no_word_of_this_pipeline_is_in_the_server() -> None:
    config = load_config("sample")
    steps = steps_of(Run.parse(config, run_arguments(config)))
    stages = {step.stage for step in steps}
    returned = {name for step in steps for name in step.returns}
    api = "\n".join(texts(Path(inspect.getfile(services)).parent).values())
    words = {word for word in stages | returned if not re.search(rf"\b{word}(?:_|\b)", api)}
    assert words >= {"ingest", "ensemble", "evaluate", "train", "publication"} | COLUMNS.keys()
    own = texts(Path(inspect.getfile(server)).parent)
    found = {name: lines for name, text in own.items() for word in words if (lines := places(word, text))}
    assert not found
    metrics = {name.partition("_")[2] for name in COLUMNS}
    word = re.compile(rf"(?<![0-9a-z])(?:{'|'.join(metrics)})(?![0-9a-z])", re.IGNORECASE)
    assert not [name for name, text in own.items() if word.search(text)]
