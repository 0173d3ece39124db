"""A checkout of the project's own, with a stack of its own: what a test does stays in it."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("configs", "pipeline", "planets", "server", "steps")

SMALL = {"dataset": {"sample": {"chips": 120}}, "training": {"epochs": 1, "image_size": 32}}
"""What the profile `sample` becomes: runs that test the machinery and not the models."""

MODELS = [
    {"name": name, "architecture": architecture, "pretrained": False, "license": "none"}
    for name, architecture in (("test_resnet", "test_resnet"), ("mobilenet", "mobilenetv3_small_050"))
]


@dataclass
class Checkout:
    """A copy of the project in which commands are run as a user would."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    inside: list[str] = field(default_factory=list)
    """The words before every command, such as those that enter a network namespace."""

    @property
    def output(self):
        return self.folder / "output"

    @property
    def stack(self):
        return self.folder / ".stack"

    @property
    def entries(self):
        """The file of the models that are trained."""
        return self.folder / "configs" / "models" / "sample.yaml"

    def command(self, *words, sets=()):
        pairs = [part for pair in sets for part in ("--set", pair)]
        return [*self.inside, sys.executable, "-m", "pipeline", *words, *pairs]

    def start(self, *words, sets=(), environment=None):
        return subprocess.Popen(
            self.command(*words, sets=sets),
            cwd=self.folder,
            env=self.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *words, sets=(), environment=None, code=0):
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


def make_checkout(folder):
    """The project's code and settings in a folder, with little to do and free ports."""
    for name in ROOMS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    _change(folder / "configs" / "profiles" / "sample.yaml", SMALL)
    api, files = _free_ports(2)
    _change(folder / "configs" / "project.yaml", {"stack": {"api_port": api, "files_port": files}})
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML", "DATASET"))}
    nowhere = {"CLEARML_CONFIG_FILE": str(folder / "none.conf"), "PYTHONPATH": str(folder)}
    made = Checkout(folder, clean | nowhere)
    made.entries.write_text(yaml.safe_dump(MODELS, sort_keys=False))
    return made


def _change(file, settings):
    """Change some settings of a YAML file: two levels of names, as these files have."""
    text = yaml.safe_load(file.read_text())
    for section, values in settings.items():
        text.setdefault(section, {}).update(values)
    file.write_text(yaml.safe_dump(text, sort_keys=False))


def _free_ports(count):
    """Ports that clients do not get, the same from `down` to `up`: stored addresses name them."""
    found = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found


@dataclass(frozen=True)
class FirstRun:
    """What the first run in a checkout printed and reported, and the checkout as it was after that."""

    checkout: Checkout
    printed: str
    report: dict

    @classmethod
    def of(cls, checkout):
        printed = checkout("run")
        report = checkout.report()
        checkout("down")
        shutil.copytree(checkout.folder, cls._kept(checkout), symlinks=True)
        return cls(checkout, printed, report)

    @staticmethod
    def _kept(checkout):
        return checkout.folder.with_name(checkout.folder.name + ".kept")

    def restore(self):
        """The checkout in its old place, as it was when the run had ended and the stack was down."""
        shutil.rmtree(self.checkout.folder)
        shutil.copytree(self._kept(self.checkout), self.checkout.folder, symlinks=True)
        return self.checkout
