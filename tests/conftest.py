"""What tests of several rooms share: a real browser, checkouts of the project, and one that has had a run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, sync_playwright
from support.checkouts import FirstRun, make_checkout

from planets.system import usable_cores

# Torch reads it on import, which some test module does first. Tiny networks are faster on one thread, and
# threads that wait for each other on cores that other tests use burn several times the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is slow, not wrong: hypothesis does not time the tests.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_configure():
    """Let Ctrl-C reach what the tests start: background jobs ignore it, and so do their children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session):
    """Show failures at once in CI."""
    plugins = session.config.pluginmanager
    terminal = plugins.get_plugin("terminalreporter")
    if terminal and os.environ.get("CI"):
        plugins.register(FailuresAtOnce(terminal))


class FailuresAtOnce:
    """Shows a failure when it happens: CI that is cut off prints no summary."""

    def __init__(self, terminal):
        self.terminal = terminal

    def pytest_collectreport(self, report):
        if report.failed:
            self.terminal.write_line(f"\nFAILED {report.nodeid}\n{report.longreprtext}")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.terminal.write_line(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext}")


def pytest_xdist_auto_num_workers():
    """Two processes a core, because most tests wait for other processes; six at most, for each takes 1 GB."""
    return min(6, 2 * usable_cores())


def pytest_collection_modifyitems(items):
    """Start the modules that take longest first: those with real agents or processes of the SDK.

    One module makes the first run that others copy; while it does, those that need none go on.
    """
    with_first_run = [item.path for item in items if "first_run" in item.fixturenames]

    def order(item):
        if item.path in with_first_run:
            return 0 if item.path == with_first_run[0] else 2
        return 3 if {"new_checkout", "stack", "call"}.isdisjoint(item.fixturenames) else 1

    items.sort(key=order)


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
def shared_folder(tmp_path_factory, worker_id):
    """A folder that all test processes of this session share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def first_run(shared_folder):
    """The first run of these tests, or of all test calls that name a folder for it in $FIRST_RUN."""
    return FirstRun.in_folder(Path(os.environ.get("FIRST_RUN") or shared_folder / "first_run"))


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory):
    """Makes checkouts, and ends their stacks when the module's tests are over.

    Their paths have a space and Cyrillic letters, as those of many users.
    """
    checkouts = []

    def make():
        checkouts.append(make_checkout(tmp_path_factory.mktemp("checkout") / "мой проект"))
        return checkouts[-1]

    yield make
    for checkout in checkouts:
        checkout("down")


@pytest.fixture(scope="module")
def trained(first_run, tmp_path_factory):
    """A checkout of the module's own that has had its first run; its stack is down."""
    checkout = first_run.copy(tmp_path_factory.mktemp("checkout"))
    yield checkout
    checkout("down")
