"""A server with data, and a real browser with a session on its page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support import seed
from support.browsing import link, listen
from support.embedded import Embedded, running

expect.set_options(timeout=60_000)  # ends a test that hangs: a busy machine is slow, not wrong


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with running(tmp_path_factory.mktemp("web") / "data") as started:
        yield started


@pytest.fixture
def complaints() -> list[str]:
    """Errors in the browser; a test that expects some clears the list."""
    return []


@pytest.fixture
def page(browser: Browser, server: Embedded, complaints: list[str]) -> Iterator[Page]:
    """A page with a session of its own, logged in with a one-time link; no error may occur in it."""
    context = browser.new_context(base_url=server.web)
    opened = context.new_page()
    listen(opened, complaints)
    opened.goto(link(server))
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def run(server: Embedded) -> seed.Run:
    """A completed run. Tests that change a run create their own."""
    return seed.finished_run(server, "good run")


@pytest.fixture(scope="session")
def other(server: Embedded, run: seed.Run) -> seed.Run:
    """A completed run with another argument."""
    return seed.finished_run(server, "other run", seed="7")


@pytest.fixture(scope="session")
def failed(server: Embedded) -> seed.Run:
    return seed.failed_run(server, "bad run")


@pytest.fixture(scope="session")
def dataset(server: Embedded) -> tuple[str, str]:
    """Project and task ids of a dataset."""
    return seed.dataset(server)
