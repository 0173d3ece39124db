"""Secrets of the environment and of URLs are not printed by an error that ends a process."""

import os
import subprocess
import sys

import pytest

from planets.redaction import redact

TOKEN = "KGAT_0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"invalid header {TOKEN}\\n", "invalid header ***\\n"),
        ("at http://user:pass@host:8008/debug.ping", "at http://***@host:8008/debug.ping"),
        ("https://host/path@2x.png", "https://host/path@2x.png"),
        ("a short value stays", "a short value stays"),
    ],
)
def test_secrets_become_asterisks(text, printed):
    environment = {"KAGGLE_API_TOKEN": f"{TOKEN}\n", "MONKEY_KEY": "short", "HOME": "/root"}
    assert redact(text, environment) == printed


@pytest.mark.parametrize("package", ["steps", "pipeline"])
def test_tracebacks_of_steps_and_commands_are_redacted(package):
    code = f"""
import {package}, os
try:
    raise ValueError("header " + os.environ["KAGGLE_KEY"])
except ValueError as error:
    raise KeyError(os.environ["KAGGLE_KEY"]) from error
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KAGGLE_KEY": TOKEN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ValueError: header ***" in done.stderr
    assert "KeyError: '***'" in done.stderr
    assert TOKEN not in done.stderr
