"""A checkout of the project's own, with a stack of its own: what a test does stays in it."""

import json
import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml
from filelock import FileLock
from PIL import Image
from support import outgoing

from pipeline.stack import stack

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("configs", "pipeline", "planets", "server", "steps")

SMALL = {
    "dataset": {"sample": {"chips": 120}},
    "training": {"epochs": 1, "image_size": 32},
    "stack": {"workers": {"services": 1}},
}
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
        return stack.folder(self.folder, self.environment)

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
        printed, _ = process.communicate(timeout=1800)
        assert process.returncode == code, printed
        return printed

    def exports(self):
        return dict(re.findall(r"export (\w+)=(\S+)", self("env")))

    def python(self, source, *arguments):
        """Run a ClearML program on this server; return the JSON that it printed last."""
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", source, *arguments],
            cwd=self.folder,
            env=self.environment | {"CLEARML_CONFIG_FILE": str(self.stack / "clearml.conf")},
            capture_output=True,
            text=True,
            timeout=900,
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
    _set_ports(folder, free_ports(2))
    made = Checkout(folder, _environment(folder))
    made.entries.write_text(yaml.safe_dump(MODELS, sort_keys=False))
    _make_clone(folder)
    return made


def _make_clone(folder):
    """Make the checkout a clone of a repository that cannot be reached, as on a machine without a network."""
    author = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("remote", "add", "origin", f"{folder.parent}/nowhere/planets.git"),
        ("add", "--all"),
        (*author, "commit", "--quiet", "--message=All"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
        ("branch", "--quiet", "--set-upstream-to=origin/main"),
    ):
        subprocess.run(["git", "-C", folder, *words], check=True)


def _environment(folder):
    """Return the environment of a checkout's commands, without the machine's ClearML settings.

    Nor has it the variables of `make test ARGS=...`, which would reach every make that a page runs.
    """
    dropped = ("CLEARML", "DATASET", "MAKE", "MFLAGS", "ARGS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return clean | {
        "CLEARML_CONFIG_FILE": str(folder / "none.conf"),
        "PYTHONPATH": str(folder),
        "XDG_STATE_HOME": str(folder.parent / "state"),
    }


def _change(file, settings):
    """Change some settings of a YAML file: two levels of names, as these files have."""
    text = yaml.safe_load(file.read_text())
    for section, values in settings.items():
        text.setdefault(section, {}).update(values)
    file.write_text(yaml.safe_dump(text, sort_keys=False))


def free_ports(count):
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
    """A finished first run: its output, its report, and its checkout as the run left it, with the stack down.

    Tests work on copies. All test processes of a session share one first run. It is made behind proxies that
    record all requests; as root, where only loopback answers.
    """

    kept: Checkout
    printed: str

    @classmethod
    def in_folder(cls, folder):
        """Return the first run kept in `folder`; the first caller runs it, others wait for it."""
        printed = folder / "printed.txt"
        folder.mkdir(exist_ok=True)
        with FileLock(folder / "lock"):
            if not printed.exists():
                checkout = make_checkout(folder / "checkout")
                with outgoing.recorded(folder) as place:
                    checkout.environment |= place.environment
                    checkout.inside = place.inside
                    try:
                        report = checkout("run")
                        checkout("predict", str(_one_picture(folder / "picture")))
                    finally:
                        checkout("down")
                printed.write_text(report)
        kept = folder / "checkout"
        return cls(Checkout(kept, _environment(kept)), printed.read_text())

    @property
    def outgoing(self):
        """What it sent: requests to the proxy, names, packets."""
        return (self.kept.folder.parent / outgoing.FILE).read_text().splitlines()

    @cached_property
    def report(self):
        return self.kept.report()

    def copy(self, folder):
        """Return a checkout in `folder` that continues from this run on ports of its own."""
        shutil.copytree(self.kept.folder, folder, symlinks=True, dirs_exist_ok=True)
        old, new = _ports(self.kept), free_ports(2)
        _set_ports(folder, new)
        replacements = [(f":{was}", f":{port}") for was, port in zip(old, new, strict=True)]
        _replace_in_database(folder / ".stack" / "server" / "server.db", replacements)
        report = folder / "output" / "run.json"
        report.write_text(_replaced(report.read_text(), replacements))
        return Checkout(folder, _environment(folder))


def _one_picture(folder):
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "picture.jpg")
    return folder


def _ports(checkout):
    stack = yaml.safe_load((checkout.folder / "configs" / "project.yaml").read_text())["stack"]
    return stack["api_port"], stack["files_port"]


def _set_ports(folder, ports):
    api, files = ports
    _change(folder / "configs" / "project.yaml", {"stack": {"api_port": api, "files_port": files}})


def _replaced(text, replacements):
    for old, new in replacements:
        text = text.replace(old, new)
    return text


def _replace_in_database(file, replacements):
    """Replace the stored addresses of the server: URLs of models, artifacts and images name its ports."""
    with closing(sqlite3.connect(file)) as database, database:
        for table in ("tasks", "models", "events"):
            for old, new in replacements:
                database.execute(f"UPDATE {table} SET doc = replace(doc, ?, ?)", (old, new))
