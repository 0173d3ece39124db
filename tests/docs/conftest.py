"""A checkout in which the commands of the documentation are run as a reader would run them."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

spec = importlib.util.spec_from_file_location("checkouts", ROOT / "tests" / "pipeline" / "conftest.py")
checkouts = sys.modules["checkouts"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(checkouts)
new_checkout = checkouts.new_checkout

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
SMALL = (
    ("dataset", "sample", {"chips": 120, "seed": 7}),
    ("training", "epochs", 1),
    ("training", "image_size", 32),
)
MODELS = ("test_resnet", "mobilenet")


def free_ports(count):
    """Ports that stay the same from `make down` to `make up`: stored addresses name them."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Reader:
    """Somebody who follows a page: writes what it says to write, runs what it says to run."""

    def __init__(self, checkout):
        self.folder = checkout.folder
        self.environment = checkout.environment
        self._copy()
        self._shrink()
        self._adopt_environment()

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
            timeout=900,
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

    def _shrink(self):
        """The same commands with less to do: few chips, one epoch, free ports."""
        configs = self.folder / "configs"
        project = yaml.safe_load((configs / "project.yaml").read_text())
        project["stack"] |= dict(zip(("api_port", "files_port"), free_ports(2), strict=True))
        (configs / "project.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
        profile = yaml.safe_load((configs / "profiles" / "sample.yaml").read_text())
        for section, key, value in SMALL:
            profile[section][key] = value
        (configs / "profiles" / "sample.yaml").write_text(yaml.safe_dump(profile))
        entries = [
            {"name": name, "architecture": "test_resnet", "pretrained": False, "licence": "none"}
            for name in MODELS
        ]
        (configs / "models" / "sample.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))

    def _adopt_environment(self):
        """Make `.venv` of the environment that the tests run in."""
        venv = self.folder / ".venv"
        venv.mkdir()
        for each in Path(sys.prefix).iterdir():
            if each.name != ".ready":
                (venv / each.name).symlink_to(each)
        (venv / ".ready").touch()


@pytest.fixture(scope="session")
def reader(new_checkout):
    return Reader(new_checkout())
