"""`.env.local` and `.env` mean the same to Python, make and docker/run.sh."""

import os
import subprocess
import sys

import pytest
from support.pages import ROOT

from pipeline.config.env_files import EnvFileError, local_variables, read_env_file

TEXT = """\
# keys
PARENTHESIS=a)b(
DOLLAR=a$HOME$$b
BACKTICKS=`touch executed`
export EXPORTED = spaces around
EMPTY=
SINGLE='it is # kept'
DOUBLE="a 'b' \\n"  # dropped
HASH=a#b
COMMENT=value # dropped
BACKSLASH=a\\b
"""
VALUES = {
    "PARENTHESIS": "a)b(",
    "DOLLAR": "a$HOME$$b",
    "BACKTICKS": "`touch executed`",
    "EXPORTED": "spaces around",
    "SINGLE": "it is # kept",
    "DOUBLE": "a 'b' \\n",
    "HASH": "a#b",
    "COMMENT": "value",
    "BACKSLASH": "a\\b",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".env.local").write_text("\ufeff" + TEXT)
    (tmp_path / ".env").write_text("COMMENT=of .env\nEMPTY=of .env\n")
    return tmp_path


def test_values_are_taken_literally(folder):
    assert local_variables(folder) == VALUES


def test_there_need_be_no_file(tmp_path):
    assert local_variables(tmp_path) == {}


@pytest.mark.parametrize("line", ["no variable", "1X=a", "=secret"])
def test_a_line_that_is_no_variable_is_named_and_not_shown(tmp_path, line):
    (tmp_path / ".env").write_text(f"A=b\n{line}\n")
    with pytest.raises(EnvFileError, match=r"\.env: line 2 is not of the form NAME=value") as raised:
        read_env_file(tmp_path / ".env")
    assert line not in str(raised.value)


def printed(folder, *command):
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_a_bare_python_prints_them_for_containers(folder):
    lines = printed(folder, sys.executable, "-S", "-m", "pipeline.config.env_files").splitlines()
    assert dict(line.split("=", 1) for line in lines) == VALUES | {"EMPTY": "of .env"}


@pytest.mark.parametrize("name", VALUES)
def test_make_gets_the_same_value(folder, name):
    """As Makefile.dvc does: through its `setting`, and into a recipe through the environment."""
    setting = next(line for line in (ROOT / "Makefile.dvc").read_text().splitlines() if "env_files" in line)
    makefile = f'{setting}\nexport VALUE := $(call setting,{name})\nshow:\n\t@printf %s "$$VALUE"\n'
    (folder / "Makefile").write_text(f"PYTHON := {sys.executable}\n{makefile}")
    assert printed(folder, "make", "--silent", "show") == VALUES[name]
    assert not (folder / "executed").exists()


def test_docker_run_sh_exports_the_same_values(folder):
    """To whatever runs the containers; the shell's own variables come first."""
    (folder / "docker").mkdir()
    (folder / "docker" / "run.sh").write_text((ROOT / "docker" / "run.sh").read_text())
    compose = folder / "compose"
    compose.write_text("#!/bin/sh\nenv -0 > variables\nexit 3\n")
    compose.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "COMPOSE": str(compose),
        "HASH": "of the shell",
    }
    done = subprocess.run(
        ["bash", "docker/run.sh", "cpu"], cwd=folder, env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 3, done.stderr
    pairs = (folder / "variables").read_text().rstrip("\0").split("\0")
    exported = dict(pair.split("=", 1) for pair in pairs)
    wanted = VALUES | {"EMPTY": "of .env", "HASH": "of the shell"}
    assert {name: exported[name] for name in wanted} == wanted
    assert not (folder / "executed").exists()
