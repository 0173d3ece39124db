"""The page with real agents: in a browser, a run is watched, changed, started and aborted."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect
from support.browsing import link, listen
from support.embedded import Embedded, agent, running, wait_for
from support.processes import alive

pytestmark = pytest.mark.slow

PIPELINE = """
from clearml import PipelineController


def double_it(number):
    print("doubling")
    return int(number) * 2


def wait_long(seconds):
    import time

    print("waiting", flush=True)
    time.sleep(float(seconds))
    return "waited"


pipe = PipelineController(
    name="toy", project="Page", version="1.0.0", repo="", packages=["clearml"], skip_global_imports=True,
    pool_frequency=0.01,
)
pipe.add_parameter("number", 3)
pipe.add_parameter("seconds", 0)
pipe.set_default_execution_queue("default")
step = dict(cache_executed_step=True, repo="", packages=["clearml"])
pipe.add_function_step(
    "double", function=double_it, function_kwargs={"number": "${pipeline.number}"},
    function_return=["twice"], **step
)
pipe.add_function_step(
    "wait", function=wait_long, function_kwargs={"seconds": "${pipeline.seconds}"}, function_return=["said"],
    parents=["double"], **step
)
pipe.start(queue="services")
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server with an agent for controllers and one for steps, and a run that has been started."""
    place = tmp_path_factory.mktemp("agents")
    with running(place / "data") as server, ExitStack() as agents:
        server.call("queues.create", name="services")
        for worker, queue in (("svc", "services"), ("w1", "default")):
            agents.enter_context(
                agent(server.environment(place / worker), worker, queue, place / f"{worker}.log")
            )
        wait_for(lambda: len(server.call("workers.get_all").data["workers"]) == 2, "both agents")
        script = place / "toy.py"
        script.write_text(PIPELINE)
        environment = server.environment(place / "home")
        subprocess.run(
            [sys.executable, str(script)], env=environment, cwd=place, check=True, capture_output=True
        )
        yield server


@pytest.fixture
def page(browser: Browser, stack: Embedded) -> Iterator[Page]:
    context = browser.new_context(base_url=stack.web)
    opened = context.new_page()
    complaints: list[str] = []
    listen(opened, complaints)
    opened.goto(link(stack))
    yield opened
    context.close()
    assert complaints == []


def step_of(server: Embedded, name: str, status: str) -> dict[str, Any] | None:
    found = server.call("tasks.get_all", name=f"^{name}$", status=[status], search_hidden=True).data["tasks"]
    return found[0] if found else None


def processes(task: str) -> list[psutil.Process]:
    """Processes of the task: the agent sets its id in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CLEARML_TASK_ID") == task and alive(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_run_is_watched_changed_and_aborted(stack: Embedded, page: Page) -> None:
    page.get_by_role("link", name="toy", exact=True).click()
    expect(page.get_by_role("link", name="wait, completed")).to_be_visible(timeout=300_000)
    expect(page.locator(".state")).to_contain_text("completed")

    page.get_by_role("link", name="New run").click()
    page.get_by_label("seconds").fill("300")
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("toy #2")
    expect(page.get_by_role("link", name="double, cached")).to_be_visible(timeout=300_000)
    waiting = page.get_by_role("link", name="wait, running")
    expect(waiting).to_contain_text("waiting", timeout=300_000)
    step = step_of(stack, "wait", "in_progress")
    assert step is not None
    assert step["hyperparams"]["kwargs"]["seconds"]["value"] == "300"
    assert processes(step["id"])

    page.locator("summary", has_text="Abort").click()
    page.get_by_role("button", name="Abort now").click()
    expect(page.get_by_role("link", name="wait, aborted")).to_be_visible()
    wait_for(lambda: not processes(step["id"]), "the end of the step's processes")
    expect(page.locator(".state")).to_contain_text("aborted")
