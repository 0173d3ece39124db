from collections.abc import Iterator

import pytest
from support import sdk_process
from support.embedded import Embedded, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with running(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def call(server: Embedded, tmp_path_factory: pytest.TempPathFactory):
    """Calls a function of the test module in a process of its own that is connected to `server`."""

    def run(function, *arguments):
        return sdk_process.call(server, tmp_path_factory.mktemp("process"), function, *arguments)

    return run
