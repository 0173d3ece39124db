"""The wheel and the sdist, installed into an empty environment: the command works in any folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BUILT = (
    "configs",
    "deploy",
    "pipeline",
    "planets",
    "server",
    "steps",
    "LICENSE",
    "README.md",
    "pyproject.toml",
)
UV = Path(sys.executable).parent / "uv"


def run(*words, folder, code=0, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CLEARML"))}
    clean |= {"CLEARML_CONFIG_FILE": "/dev/null", **environment}
    done = subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the sdist, which is built from the files of the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", *BUILT, folder=ROOT)
    for name in filter(lambda name: (ROOT / name).exists(), files.split("\n")[:-1]):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    build = (UV, "build", "--no-build-isolation", "--python", sys.executable, "--out-dir", built, source)
    run(*build, folder=source)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel and its locked dependencies alone."""
    folder = tmp_path_factory.mktemp("environment")
    versions = folder / "versions.txt"
    pins = re.findall(
        r"^[A-Za-z0-9._-]+==[^ \n]+(?: ; [^\\\n]+)?", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    versions.write_text("\n".join(pins))
    run(UV, "venv", "--python", sys.executable, folder / "venv", folder=folder)
    install = (UV, "pip", "install", "--constraint", versions, wheel)
    run(*install, folder=folder, VIRTUAL_ENV=str(folder / "venv"))
    return folder / "venv" / "bin" / "python"


ANY_PORTS = ("--set", "stack.api_port=0", "--set", "stack.files_port=0")


def test_the_command_runs_a_pipeline_in_an_empty_folder(python, tmp_path):
    planets = python.parent / "planets"
    try:
        printed = run(planets, "run", "--fast", "--models", "0", *ANY_PORTS, folder=tmp_path)
    finally:
        run(planets, "down", folder=tmp_path)
    assert f"bundle in {tmp_path / 'output' / 'best'}" in printed
    assert (tmp_path / ".stack").is_dir()
    assert f"PLANETS_STACK={tmp_path / '.stack'}" in run(
        planets, "worker", "--queue", "gpu", "--systemd", folder=tmp_path
    )


def test_its_messages_name_its_own_commands(python, tmp_path):
    planets = python.parent / "planets"
    assert "start it with `planets up`" in run(planets, "status", folder=tmp_path, code=1)
    assert "planets predict /some/folder" in run(planets, "predict", folder=tmp_path, code=1)


def test_the_settings_of_the_folder_come_before_the_packaged_ones(python, tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    with (tmp_path / "configs" / "project.yaml").open("a") as settings:
        settings.write("nonsense: 1\n")
    assert "nonsense" in run(python.parent / "planets", "run", "--plan", folder=tmp_path, code=1)
