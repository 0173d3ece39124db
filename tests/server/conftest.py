import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.embedded import Embedded, Sdk, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Embedded]:
    """A fresh server for this test alone."""
    with running(tmp_path / "data") as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """One server for the tests of a module that do not get in each other's way."""
    with running(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


@pytest.fixture
def sdk(shared: Embedded, tmp_path: Path) -> Sdk:
    """Runs SDK code in its own process (the session is global); returns what it assigns to ``result``."""

    def run(code: str, timeout: float = 90) -> Any:
        out = tmp_path / "result.json"
        ending = f"\nimport json\nopen({str(out)!r}, 'w').write(json.dumps(result, default=str))\n"
        script = tmp_path / "snippet.py"
        script.write_text("result = None\n" + textwrap.dedent(code) + ending)
        done = subprocess.run(
            [sys.executable, str(script)],
            env=shared.environment(tmp_path / "home"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(out.read_text())

    return run
