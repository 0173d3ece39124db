"""A checkout of the project's own, with a stack of its own on free ports: what a test does stays in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

SMALL = [
    "stack.api_port=0",
    "stack.files_port=0",
    "dataset.sample.chips=120",
    "training.epochs=1",
    "training.image_size=32",
]
"""Settings of a run that tests the machinery and not the models."""

MODELS = [
    {"name": name, "architecture": architecture, "pretrained": False, "licence": "none"}
    for name, architecture in (("resnet", "test_resnet"), ("mobilenet", "mobilenetv3_small_050"))
]


@dataclass
class Checkout:
    """A copy of the project in which commands are run as a user would."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    inside: list[str] = field(default_factory=list)
    """The words before every command, such as those that enter a network namespace."""

    small = SMALL

    @property
    def output(self):
        return self.folder / "output"

    @property
    def stack(self):
        return self.folder / ".stack"

    def command(self, *words, sets=SMALL):
        pairs = [part for pair in sets for part in ("--set", pair)] if words[0] not in ("down", "env") else []
        return [*self.inside, sys.executable, "-m", "pipeline", *words, *pairs]

    def start(self, *words, sets=SMALL, environment=None):
        return subprocess.Popen(
            self.command(*words, sets=sets),
            cwd=self.folder,
            env=self.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *words, sets=SMALL, environment=None, code=0):
        """Run `python -m pipeline WORDS`, demand the exit code, and return what it printed."""
        process = self.start(*words, sets=sets, environment=environment)
        printed, _ = process.communicate(timeout=600)
        assert process.returncode == code, printed
        return printed

    def exports(self):
        return dict(re.findall(r"export (\w+)=(\S+)", self("env")))

    def python(self, source, *arguments):
        """Run a ClearML program on this server; return the JSON that it printed last."""
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", source, *arguments],
            cwd=self.folder,
            env=self.environment | self.exports(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    def report(self):
        return json.loads((self.output / "run.json").read_text())

    def states(self):
        return {step["name"]: step["status"] for step in self.report()["steps"]}


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory):
    """Makes checkouts, and ends their stacks when the tests are over."""
    made = []

    def make():
        folder = tmp_path_factory.mktemp("checkout")
        for name in ("configs", "pipeline", "planets", "server", "steps"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "configs" / "models" / "sample.yaml").write_text(yaml.safe_dump(MODELS))
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("CLEARML", "DATASET"))
        }
        nowhere = {"CLEARML_CONFIG_FILE": str(folder / "none.conf"), "PYTHONPATH": str(folder)}
        made.append(Checkout(folder, clean | nowhere))
        return made[-1]

    yield make
    for checkout in made:
        checkout("down")


@pytest.fixture(scope="module")
def checkout(new_checkout):
    return new_checkout()
