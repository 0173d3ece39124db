"""Makefile.dvc with the real DVC, in a git repository of its own, as a user has it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Makefile.dvc", "requirements-dvc.lock", ".gitignore", ".dvcignore")

pytestmark = pytest.mark.slow


class Repository:
    """A git repository with a bundle that DVC is to keep."""

    def __init__(self, folder, remote):
        self.folder = folder
        nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        person = {
            f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        self.environment = os.environ | nowhere | person | {"DVC_REMOTE": str(remote)}
        for name in FILES:
            shutil.copy(ROOT / name, folder / name)
        for name in ("pipeline", "planets"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.git("init", "--quiet")

    @property
    def bundle(self):
        return self.folder / "output" / "best"

    def run(self, *command, code=0):
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def git(self, *words):
        return self.run("git", *words)

    def make(self, target, code=0):
        return self.run("make", "-f", "Makefile.dvc", target, code=code)

    def fill(self, weights):
        (self.bundle / "members").mkdir(parents=True, exist_ok=True)
        (self.bundle / "bundle.json").write_text("{}\n")
        (self.bundle / "members" / "net.safetensors").write_bytes(weights)

    def content(self):
        files = (file for file in self.bundle.rglob("*") if file.is_file())
        return {str(file.relative_to(self.bundle)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    return Repository(folder, tmp_path_factory.mktemp("remote"))


def test_without_a_bundle_it_says_what_makes_one(repository):
    assert "error: no output/best yet: make select_best_model" in repository.make("dvc.add_files", code=2)


def test_a_bundle_comes_back_byte_for_byte(repository):
    repository.fill(b"first")
    before = repository.content()
    repository.make("dvc.add_files")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "first")
    tracked = repository.git("ls-files").split()
    assert "output/best.dvc" in tracked
    assert not [name for name in tracked if name.startswith(("output/best/", ".venv-dvc", ".dvc/cache"))]
    shutil.rmtree(repository.bundle)
    shutil.rmtree(repository.folder / ".dvc" / "cache")
    repository.make("dvc.pull")
    assert repository.content() == before
    status = repository.make("dvc.status")
    assert "up to date" in status
    assert "in sync" in status


def test_a_changed_bundle_is_a_new_version_and_the_old_one_stays(repository):
    repository.fill(b"second")
    assert "modified" in repository.make("dvc.status")
    repository.make("dvc.add_files")
    repository.git("commit", "--quiet", "--all", "--message", "second")
    repository.git("checkout", "--quiet", "HEAD~1", "--", "output/best.dvc")
    repository.make("dvc.pull")
    assert repository.content()["members/net.safetensors"] == b"first"


def test_settings_name_the_remote_and_its_plugin(repository):
    """Those of .env.local are found, and the environment's come first."""
    settings = "DVC_REMOTE=s3://bucket/models\nDVC_S3_ENDPOINT=http://minio:9000\n"
    (repository.folder / ".env.local").write_text(settings)
    assert "s3://bucket" not in repository.make("help")
    del repository.environment["DVC_REMOTE"]
    printed = repository.make("help")
    assert "DVC_REMOTE=s3://bucket/models  DVC_S3_ENDPOINT=http://minio:9000" in printed
    asked = repository.run("make", "-n", "-f", "Makefile.dvc", "dvc.push")
    assert "^(dvc|dvc-s3)==" in asked
    assert 'endpointurl "$ENDPOINT"' in asked
