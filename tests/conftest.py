"""What tests of several rooms share: a real browser, checkouts of the project, and one that has had a run."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.checkouts import FirstRun, make_checkout

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("browser tests need chromium on the PATH")
    if found is None:
        pytest.skip("browser tests skipped: no chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory):
    """Makes checkouts, and ends their stacks when the tests are over."""
    made = []

    def make():
        made.append(make_checkout(tmp_path_factory.mktemp("checkout")))
        return made[-1]

    yield make
    for checkout in made:
        checkout("down")


@pytest.fixture(scope="session")
def first_run(new_checkout):
    return FirstRun.of(new_checkout())


@pytest.fixture(scope="module")
def trained(first_run):
    """A checkout as it is after its first run; its stack is down. Each module finds it so."""
    yield first_run.restore()
    first_run.checkout("down")
