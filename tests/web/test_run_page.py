"""The list of runs and one run: their content, and that they update by themselves."""

import re

from playwright.sync_api import Page, expect
from support import seed
from support.embedded import Embedded


def test_the_list_shows_status_and_scores(page: Page, run: seed.Run, failed: seed.Run) -> None:
    page.goto("/?q=good")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="good run", exact=True))
    for shown in ("completed", "7/7", "large", "0.9375", "0.9250", "ann@box", "shop / chips"):
        expect(row).to_contain_text(shown)
    page.goto("/?q=bad")
    expect(page.get_by_role("row").filter(has_text="bad run")).to_contain_text("failed")


def test_the_list_updates_by_itself(server: Embedded, page: Page) -> None:
    page.goto("/?q=moving")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    moving = seed.pipeline(server, "moving run")
    expect(page.get_by_role("link", name="moving run")).to_be_visible()
    expect(page.locator("tbody")).to_contain_text("running")
    seed.step(server, moving, "ingest")
    seed.complete(server, moving, "ingest")
    expect(page.locator("tbody")).to_contain_text("1/7")


def test_a_run_shows_a_diagram_of_its_steps(page: Page, run: seed.Run) -> None:
    page.goto(run.path)
    picture = page.get_by_role("group", name="Steps of the run")
    nodes = picture.get_by_role("link")
    expect(nodes).to_have_count(7)
    expect(nodes.filter(has_text="train_large")).to_contain_text("completed")
    boxes = {name: picture.get_by_role("link", name=f"{name},").bounding_box() for name in seed.STEPS}
    for name, parents in seed.STEPS.items():
        for parent in parents:
            assert boxes[parent]["x"] < boxes[name]["x"], (parent, name)
    assert boxes["train_small"]["x"] == boxes["train_large"]["x"]
    # An edge that others imply is not drawn: split leads to evaluate through train.
    expect(picture.locator("path.edge")).to_have_count(7)


def test_a_run_shows_its_models_artifacts_and_parameters(page: Page, run: seed.Run) -> None:
    page.goto(run.path)
    result = page.get_by_role("region", name="Result")
    for shown in ("Best model", "large", "0.9375", "0.9250", "published"):
        expect(result).to_contain_text(shown)
    models = page.locator("table", has_text="Registry")
    expect(models.get_by_role("row")).to_have_count(3)
    expect(models.get_by_role("row").nth(1)).to_contain_text(re.compile("large.*best", re.DOTALL))
    expect(models.get_by_role("row").nth(2)).to_contain_text(re.compile("small.*not published", re.DOTALL))
    expect(page.locator("table", has_text="bundle")).to_contain_text("evaluate_small")
    expect(page.locator("table.facts")).to_contain_text("small,large")


def test_a_live_run_shows_what_its_steps_do(server: Embedded, page: Page) -> None:
    live = seed.pipeline(server, "live run")
    page.goto(live.path)
    expect(page.get_by_role("img", name="ingest, pending")).to_be_visible()
    task = seed.step(server, live, "ingest")
    node = page.get_by_role("link", name="ingest, running")
    expect(node).to_contain_text("ingest is at work")
    expect(node).to_contain_text(re.compile(r"running · \d+ s"))
    server.events(*seed.log(task, "halfway", start=1_700_000_300_000))
    expect(node).to_contain_text("halfway")
    seed.complete(server, live, "ingest")
    expect(page.get_by_role("link", name="ingest, completed")).to_be_visible()
    abort, retry = page.locator("summary", has_text="Abort"), page.get_by_role("button", name="Retry")
    expect(abort).to_be_visible()
    server.call("tasks.failed", task=live.id, status_reason="no more chips")
    expect(retry).to_be_visible()
    expect(abort).to_be_hidden()


def test_every_tab_follows_the_state(server: Embedded, page: Page) -> None:
    task = server.new_task(name="followed by its tabs")
    page.goto(f"/projects/*/experiments/{task}/output/log")
    expect(page.locator(".state")).to_contain_text("draft")
    server.call("tasks.started", task=task)
    server.call("tasks.failed", task=task, status_reason="no more chips")
    expect(page.get_by_role("region", name="What went wrong")).to_contain_text("no more chips")
    expect(page.locator("summary", has_text="Enqueue")).to_be_visible()


def test_steps_are_cached_or_have_a_reason(server: Embedded, page: Page, run: seed.Run) -> None:
    second = seed.pipeline(server, "second run")
    second.steps |= {name: run.steps[name] for name in ("ingest", "split")}
    changed = seed.parameters("kwargs", epochs="4", code_version="2")
    seed.step(server, second, "train_small", hyperparams=changed)
    seed.reasons(server, second, split="same inputs and code as in task 1", train_small="epochs 3 -> 4")
    page.goto(second.path)
    expect(page.get_by_role("link", name="split, cached")).to_be_visible()
    why = page.locator("table", has_text="Why")
    expect(why.get_by_role("row").filter(has_text="split")).to_contain_text("same inputs and code")
    row = why.get_by_role("row").filter(has_text="train_small")
    expect(row).to_contain_text("epochs 3 -> 4")


def test_the_best_model_shows_its_publication(page: Page, run: seed.Run) -> None:
    page.goto(run.path)
    expect(page.locator(".note")).to_contain_text("published in place of small")


def test_a_failed_run_begins_with_its_error(page: Page, failed: seed.Run) -> None:
    page.goto(failed.path)
    failure = page.get_by_role("region", name="What went wrong")
    expect(failure).to_contain_text("train_small failed")
    expect(failure.get_by_role("paragraph")).to_have_text("RuntimeError: out of chips")
    expect(failure).to_contain_text('File "train.py", line 1')
    expect(failure).not_to_contain_text("Process failed")
    assert failure.bounding_box()["y"] < page.get_by_role("heading", name="Steps").bounding_box()["y"]
    failure.get_by_role("link", name="train_small").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("train_small")


def test_a_clone_shows_nothing_of_its_source(server: Embedded, page: Page, run: seed.Run) -> None:
    """A clone has its source's plan until its controller has made its own: no result of it shows."""
    clone = seed.failed_clone(server, run, "clone of good")
    page.goto(clone.path)
    failure = page.get_by_role("region", name="What went wrong")
    expect(failure.get_by_role("heading")).to_have_text("controller failed")
    expect(failure.get_by_role("paragraph")).to_have_text("ConfigError: models: no entry large")
    expect(failure.locator("pre")).to_be_hidden()
    failure.locator("summary").click()
    expect(failure.locator("pre")).to_contain_text('File "run.py", line 7')
    main = page.get_by_role("main")
    for inherited in ("Best model", "0.9375", "cached", "train_large"):
        expect(main).not_to_contain_text(inherited)
    page.goto("/?q=clone of good")
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("failed")
    expect(row).not_to_contain_text("0.9375")
    page.goto(f"/compare?ids={run.id}&ids={clone.id}")
    cells = page.get_by_role("row", name="Validation F2 large").get_by_role("cell")
    expect(cells).to_have_text(["0.9375", re.compile("^.$")])


def test_an_invalid_plan_is_drawn(server: Embedded, page: Page) -> None:
    """Steps that wait for each other, for themselves, for no known step; and nodes that are no steps."""
    odd = seed.pipeline(server, "odd run")
    nodes = '{"a": {"parents": ["b"]}, "b": {"parents": ["a", "b", "?", 3]}, "c": {"parents": 1}, "d": 7}'
    server.call("tasks.edit", task=odd.id, force=True, configuration={"Pipeline": {"value": nodes}})
    page.goto(odd.path)
    expect(page.get_by_role("group", name="Steps of the run").locator(".node")).to_have_count(3)
