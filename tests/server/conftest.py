import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from clearml.backend_api.session.client import APIClient, StrictSession
from support.embedded import Embedded, Sdk, running, sdk_runner


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
    return sdk_runner(shared, tmp_path)


@pytest.fixture(scope="module")
def client(shared: Embedded) -> APIClient:
    """The SDK's client for the API, in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's configuration parser
        session = StrictSession(
            api_key=shared.access_key, secret_key=shared.secret_key, host=shared.api, initialize_logging=False
        )
    return APIClient(session=session)
