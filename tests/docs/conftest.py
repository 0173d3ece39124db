"""A checkout in which the commands of the documentation are run as a reader would run them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, blocks

COPIED = (
    "README.md",
    "Makefile",
    "Makefile.dvc",
    "pyproject.toml",
    "requirements.lock",
    ".env",
    "docs",
    "docker",
    "docker-compose.yml",
    "deploy",
    ".dvcignore",
    "benchmarks",
    ".gitignore",
)


class Reader:
    """Somebody who follows a page: writes what it says to write, runs what it says to run."""

    def __init__(self, checkout):
        self.folder = checkout.folder
        self.environment = checkout.environment
        self._copy()
        self._adopt_environment()

    def follow(self, page, heading=""):
        """Do what a page says, or its section of that heading, block by block."""
        for language, marks, text in blocks(page, heading):
            if language == "sh" and "needs" not in marks:
                self.run(text)
            elif "append" in marks:
                self.append(marks["append"], text)
            elif "write" in marks:
                self.write(marks["write"], text)
            elif language == "diff" and "apply" in marks:
                self.apply(text)

    def run(self, commands):
        """Run a block in a shell that stops at the first failure; return what it printed."""
        done = subprocess.run(
            ["bash", "-exuo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def write(self, path, text):
        (self.folder / path).write_text(text)

    def append(self, path, text):
        with (self.folder / path).open("a") as file:
            file.write("\n" + text)

    def apply(self, change):
        """Make the change of a diff without line numbers: what it takes away must be there, once."""
        for part in change.split("--- a/")[1:]:
            head, *hunks = part.split("@@\n")
            file = self.folder / head.splitlines()[0]
            text = file.read_text()
            for hunk in hunks:
                lines = hunk.rstrip("\n").split("\n")
                before = "\n".join(line[1:] for line in lines if line[0] in " -")
                after = "\n".join(line[1:] for line in lines if line[0] in " +")
                assert text.count(before) == 1, f"{file.name} has {text.count(before)} times:\n{before}"
                text = text.replace(before, after)
            file.write_text(text)

    def _copy(self):
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name)
            elif source.exists():
                shutil.copy(source, self.folder / name)
                os.utime(self.folder / name, (0, 0))  # older than the environment, which make need not make

    def _adopt_environment(self):
        """Make `.venv` of the environment that the tests run in."""
        venv = self.folder / ".venv"
        venv.mkdir()
        for each in Path(sys.prefix).iterdir():
            if each.name != ".ready":
                (venv / each.name).symlink_to(each)
        (venv / ".ready").touch()


@pytest.fixture(scope="module")
def reader(trained):
    return Reader(trained)
