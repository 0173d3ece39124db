"""The command line: what it cannot do is one sentence on stderr, and never a traceback."""

import os
import shutil
import subprocess
import sys

import pytest
import typer
from support.checkouts import ROOT

from pipeline.cli import cli
from pipeline.cli.options import settings
from pipeline.config.env_files import EnvFileError


@pytest.fixture
def refusal(monkeypatch, capsys):
    """Run `python -m pipeline WORDS` in this process, demand exit code 1, and return its message."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["pipeline", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        return capsys.readouterr().err

    return run


def test_an_option_given_twice_is_refused(refusal):
    message = refusal("run", "--epochs", "3", "--set", "a=1", "--epochs=4", "--set", "b=2")
    assert message == "error: --epochs: given twice; give it once, in ARGS or as a make variable\n"


def test_a_setting_given_twice_is_refused():
    with pytest.raises(typer.BadParameter, match=r"--set training.epochs is given twice"):
        settings("sample", ["training.epochs=1", "training.seed=1", "training.epochs=2"])


def test_other_systems_than_linux_are_refused(refusal, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "runs on Linux, WSL2 included, not on darwin" in refusal("status")


def test_a_container_without_proc_is_refused(refusal, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "PROC", tmp_path / "stat")
    assert "mount /proc" in refusal("status")


def test_a_broken_env_local_is_one_sentence(refusal, monkeypatch):
    def broken():
        raise EnvFileError(".env.local: line 1 is not of the form NAME=value")

    monkeypatch.setattr(cli, "use_kaggle_credentials", broken)
    assert refusal("status") == "error: .env.local: line 1 is not of the form NAME=value\n"


def test_make_names_a_python_that_is_too_old(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old-python"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); $2"\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "setup", f"PYTHON={old}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},  # not the flags of the make that runs the tests
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert done.stderr.startswith("error: Python 3.11 or newer is needed: make PYTHON=python3.12\nmake: ")
    assert not (tmp_path / ".venv").exists()


def test_transfers_of_the_sdk_are_silent(sdk) -> None:
    result = sdk(
        """
        import contextlib, io, os
        from pipeline.cli.cli import silence_transfers
        silence_transfers()
        from clearml import StorageManager
        content = os.urandom(12 * 2**20)
        open("bundle.bin", "wb").write(content)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            url = StorageManager.upload_file("bundle.bin", os.environ["CLEARML_FILES_HOST"] + "/bundle.bin")
            copy = StorageManager.get_local_copy(url)
        result = [printed.getvalue(), open(copy, "rb").read() == content]
        """
    )
    assert result == ["", True]
