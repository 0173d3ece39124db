"""Runs the commands that use a model in a process of their own, as a user does."""

import csv
import subprocess
import sys
from pathlib import Path


def run(folder: Path, *words: object, code: int = 0, program: str = "planets") -> str:
    """Run `python -m planets WORDS` in `folder`, demand the exit code, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", program, *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))
