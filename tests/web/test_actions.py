"""Actions of a user on the page, and the server's state after them."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect
from support import seed
from support.embedded import Embedded, fetch


def act(page: Page, menu: str, button: str) -> None:
    page.locator("summary", has_text=menu).first.click()
    page.get_by_role("button", name=button).click()


def shown_task(page: Page) -> str:
    match = re.search(r"/experiments/(\w+)", page.url)
    assert match
    return match[1]


def test_a_new_run_with_a_changed_parameter(server: Embedded, page: Page, run: seed.Run) -> None:
    services = seed.queue(server, "services")
    page.goto(run.path)
    page.get_by_role("link", name="New run").click()
    expect(page.get_by_label("models")).to_have_value("small,large")
    page.get_by_label("epochs").fill("9")
    expect(page.get_by_label("Queue")).to_have_value(services)
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("status")).to_contain_text("waits in its queue")
    made = server.task(shown_task(page))
    assert made["status"] == "queued"
    assert made["execution"]["queue"] == services
    assert {name: item["value"] for name, item in made["hyperparams"]["Args"].items()} == {
        "models": "small,large",
        "epochs": "9",
    }
    assert server.task(run.id)["hyperparams"]["Args"]["epochs"]["value"] == "3"
    expect(page.get_by_text("cloned from")).to_contain_text("cloned from")
    page.get_by_role("button", name="Dequeue").click()
    assert server.task(made["id"])["status"] == "created"


def test_the_form_checks_what_the_run_declares(
    server: Embedded, page: Page, complaints: list[str], run: seed.Run
) -> None:
    services = seed.queue(server, "services")
    clones = server.call("tasks.get_all", parent=[run.id]).data["tasks"]
    page.goto(f"/new-run/{run.id}")
    models, start = page.get_by_label("models"), page.get_by_role("button", name="Start run")
    models.fill("small, huge")
    start.click()
    assert models.evaluate("field => field.validity.patternMismatch")
    models.fill("small, 1")
    page.get_by_label("epochs").fill("91")
    page.get_by_label("Queue").select_option(services)
    start.click()
    expect(page.locator(".problem")).to_have_text(
        "epochs: '91' is not accepted; it takes a whole number from 1 to 90, or as set"
    )
    assert server.call("tasks.get_all", parent=[run.id]).data["tasks"] == clones
    complaints.clear()


def test_clone_edit_enqueue(server: Embedded, page: Page, run: seed.Run) -> None:
    page.goto(run.step("train_small"))
    page.locator("summary", has_text="More").click()
    page.get_by_label("Name of the clone").fill("my clone")
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("my clone")
    clone = shown_task(page)
    page.get_by_role("link", name="Configuration").click()
    page.get_by_label("epochs").fill("12")
    page.get_by_role("button", name="Save parameters").click()
    expect(page.get_by_role("status")).to_contain_text("saved")
    expect(page.get_by_label("epochs")).to_have_value("12")
    assert server.task(clone)["hyperparams"]["kwargs"]["epochs"]["value"] == "12"
    page.locator("summary", has_text="Enqueue").click()
    page.get_by_label("Queue").select_option(label="default (no workers)")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.get_by_role("status")).to_contain_text("waits")
    assert server.task(clone)["status"] == "queued"


def test_only_a_draft_can_be_edited(page: Page, run: seed.Run) -> None:
    page.goto(run.step("train_small", "/configuration"))
    expect(page.get_by_role("button", name="Save parameters")).to_have_count(0)


def test_abort_stops_the_controller_and_its_steps(server: Embedded, page: Page) -> None:
    live = seed.pipeline(server, "to be aborted")
    seed.step(server, live, "ingest")
    seed.complete(server, live, "ingest")
    working = seed.step(server, live, "split")
    page.goto(live.path)
    act(page, "Abort", "Abort now")
    expect(page.get_by_role("status")).to_contain_text("being stopped")
    assert server.task(live.id)["status"] == "stopped"
    assert server.task(working)["status"] == "stopped"
    assert server.task(live.steps["ingest"])["status"] == "completed"
    expect(page.get_by_role("link", name="split, aborted")).to_be_visible()


def test_abort_asks_the_agent_that_runs_the_task(server: Embedded, page: Page) -> None:
    task = server.new_task(name="with an agent")
    server.call("tasks.started", task=task)
    seed.worker(server, "box:0", seed.queue(server, "default"), task)
    page.goto(f"/projects/*/experiments/{task}")
    act(page, "Abort", "Abort now")
    expect(page.get_by_role("status")).to_contain_text("being stopped")
    assert server.task(task)["status_message"] == "stopping"


def test_retry_of_a_failed_run(server: Embedded, page: Page) -> None:
    bad = seed.failed_run(server, "to be retried")
    services = seed.queue(server, "services")
    server.call("tasks.enqueue", task=bad.id, queue=services)
    server.call("tasks.started", task=bad.id)
    server.call("tasks.failed", task=bad.id)
    page.goto(bad.path)
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("from the cache")
    task = server.task(bad.id)
    assert (task["status"], task["execution"]["queue"]) == ("queued", services)
    assert server.task(bad.steps["split"])["status"] == "completed"
    server.call("tasks.dequeue", task=bad.id)


def test_archive_and_back(server: Embedded, page: Page) -> None:
    task = server.new_task(name="for the archive")
    page.goto(f"/projects/*/experiments/{task}")
    act(page, "More", "Archive")
    expect(page.get_by_role("status")).to_contain_text("Archived")
    assert "archived" in server.task(task)["system_tags"]
    page.goto("/tasks?q=for the archive")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    page.get_by_label("archived").check()
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="for the archive").click()
    act(page, "More", "Restore")
    assert "archived" not in server.task(task)["system_tags"]


def test_delete_a_run_with_its_steps(server: Embedded, page: Page) -> None:
    bad = seed.failed_run(server, "to be deleted")
    page.goto(bad.path)
    page.locator("summary", has_text="More").click()
    page.get_by_label("also its own steps").check()
    page.get_by_role("button", name="Delete permanently").click()
    expect(page.get_by_role("status")).to_have_text("Deleted.")
    for task in (bad.id, *bad.steps.values()):
        assert server.call("tasks.get_by_id", task=task).status == 400


def test_delete_removes_the_files_that_nothing_else_uses(server: Embedded, page: Page) -> None:
    task, other = server.new_task(name="has files"), server.new_task(name="uses one of them")
    names = ("own artifact.bin", "shared.bin", "picture.png", "weights.bin")
    uploaded = {name: seed.upload(server, f"p/has files.{task}/{name}", b"x") for name in names}
    urls = {name: quote(url, safe=":/") for name, url in uploaded.items()}
    foreign = seed.upload(server, f"p/uses.{other}/artifact.bin", b"x")

    def artifacts(owner: str, *addresses: str) -> None:
        items = [{"key": uri, "type": "custom", "uri": uri, "mode": "output"} for uri in addresses]
        server.call("tasks.add_or_update_artifacts", task=owner, artifacts=items)

    elsewhere = f"http://elsewhere.example/has files.{task}/own artifact.bin"
    artifacts(task, urls["own artifact.bin"], urls["shared.bin"], foreign, elsewhere)
    artifacts(other, urls["shared.bin"])
    image = {"type": "training_debug_image", "metric": "m", "variant": "v", "iter": 0, "timestamp": 1}
    server.events({**image, "task": task, "url": urls["picture.png"]})
    weights = server.call("models.create", name="kept", task=task, uri=urls["weights.bin"]).data["id"]

    page.goto(f"/projects/*/experiments/{task}")
    act(page, "More", "Delete permanently")
    expect(page.get_by_role("status")).to_have_text("Deleted.")
    kept = {url for url in (*urls.values(), foreign) if fetch(url, headers=server.bearer).status == 200}
    assert kept == {urls["shared.bin"], urls["weights.bin"], foreign}
    assert server.call("models.get_by_id", model=weights).data["model"]["uri"] == urls["weights.bin"]


def test_a_refusal_is_shown(server: Embedded, page: Page, complaints: list[str]) -> None:
    task = server.new_task(name="busy")
    server.call("tasks.started", task=task)
    page.goto(f"/projects/*/experiments/{task}")
    act(page, "More", "Delete permanently")
    expect(page.locator(".problem")).to_contain_text("is in_progress")
    assert all("400" in complaint for complaint in complaints)
    complaints.clear()


def test_publish_and_archive_a_model(server: Embedded, page: Page, other: seed.Run) -> None:
    page.goto("/models?q=small")
    page.get_by_role("link", name="small", exact=True).first.click()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status")).to_have_text("Published.")
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("button", name="Restore")).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("button", name="Archive")).to_be_visible()


def test_tasks_move_within_and_between_queues(server: Embedded, page: Page) -> None:
    queue, target = seed.queue(server, "busy queue"), seed.queue(server, "target queue")
    tasks = [server.new_task(name=f"waits {number}") for number in range(3)]
    for task in tasks:
        server.call("tasks.enqueue", task=task, queue=queue)

    def order(of: str) -> list[str]:
        return [entry["task"] for entry in server.call("queues.get_by_id", queue=of).data["queue"]["entries"]]

    page.goto("/queues")
    expect(page.get_by_role("region", name="busy queue")).to_contain_text("No worker serves this queue.")
    page.get_by_role("button", name="Move waits 2 to the front").click()
    expect(page.get_by_role("status")).to_be_visible()
    assert order(queue) == [tasks[2], tasks[0], tasks[1]]
    page.get_by_role("button", name="Move waits 2 one place down").click()
    expect(page.locator("li").first).to_contain_text("waits 0")
    page.get_by_role("button", name="Move waits 0 to the back").click()
    expect(page.locator("li").first).to_contain_text("waits 2")
    page.get_by_role("button", name="Move waits 1 one place up").click()
    expect(page.locator("li").first).to_contain_text("waits 1")
    assert order(queue) == [tasks[1], tasks[2], tasks[0]]
    row = page.locator("li", has_text="waits 2")
    row.locator("summary").click()
    row.get_by_label("To queue").select_option(label="target queue")
    row.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("region", name="target queue")).to_contain_text("waits 2")
    assert (order(queue), order(target)) == ([tasks[1], tasks[0]], [tasks[2]])
    row = page.locator("li", has_text="waits 0")
    row.locator("summary").click()
    row.get_by_role("button", name="Remove from the queue").click()
    expect(page.get_by_role("status")).to_be_visible()
    assert order(queue) == [tasks[1]]
    assert server.task(tasks[0])["status"] == "created"


def test_queues_are_created_and_deleted(server: Embedded, page: Page) -> None:
    page.goto("/queues")
    page.locator("summary", has_text="New queue").click()
    page.get_by_label("Name").fill("short lived")
    page.get_by_role("button", name="Create").click()
    section = page.get_by_role("region", name="short lived")
    section.locator("summary").click()
    section.get_by_role("button", name="Delete queue").click()
    expect(page.get_by_role("status")).to_have_text("The queue was deleted.")
    assert server.call("queues.get_all", name="^short lived$").data["queues"] == []


REFUSED = {
    "no token": ({}, "", 403),
    "another session's token": ({"form_token": "x"}, "", 403),
    "another origin": ({}, "http://evil.example", 403),
}


@pytest.mark.parametrize("case", REFUSED)
def test_forms_from_elsewhere_are_refused(server: Embedded, case: str) -> None:
    fields, origin, status = REFUSED[case]
    task = server.new_task(name="kept")
    body = "&".join(f"{name}={value}" for name, value in {"task": task, **fields}.items()).encode()
    headers = server.session | ({"Origin": origin} if origin else {})
    assert fetch(f"{server.api}/actions/delete", "POST", body, headers).status == status
    assert server.task(task)["name"] == "kept"


def test_nothing_works_without_a_session(server: Embedded) -> None:
    assert fetch(f"{server.api}/actions/delete", "POST", b"task=x").status == 401
    assert fetch(f"{server.api}/tasks").status == 401
    assert fetch(f"{server.api}/figures/scalar?metric=loss").status == 401
    cross = server.session | {"Sec-Fetch-Site": "cross-site"}
    assert fetch(f"{server.api}/actions/delete", "POST", b"task=x", cross).status == 403
    assert fetch(f"{server.api}/actions/delete", "GET", None, server.session).status == 401
