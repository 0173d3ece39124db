from pathlib import Path

import pytest
from support.embedded import running, sdk_runner


@pytest.fixture(scope="module")
def checkout(new_checkout):
    """A fresh checkout; a module that continues from a run has `trained` in its place."""
    return new_checkout()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory):
    """An embedded server without workers, for the tests that only read and write tasks."""
    with running(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


@pytest.fixture
def sdk(server, tmp_path: Path):
    """Runs code against `server` in a process of its own; returns what it assigns to `result`."""
    return sdk_runner(server, tmp_path)
