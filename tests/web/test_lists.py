"""Lists of models, datasets, queues, workers and tasks; comparisons."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect
from support import seed
from support.embedded import Embedded, fetch


def test_compare_two_runs(page: Page, run: seed.Run, other: seed.Run) -> None:
    page.goto("/?q=run")
    page.get_by_label("Select good run", exact=True).check()
    page.get_by_label("Select other run").check()
    page.get_by_role("button", name="Compare selected runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare")
    models = page.locator("table").nth(1)
    expect(models.get_by_role("row").filter(has_text=re.compile("Validation F2.*large"))).to_contain_text(
        "0.9375"
    )
    changed = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="seed"))
    expect(changed).to_have_class("differs")
    expect(changed).to_contain_text("7")
    same = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="models"))
    expect(same).to_have_class("")
    page.get_by_label("only differences").check()
    page.get_by_role("button", name="Show").click()
    expect(changed).to_be_visible()
    expect(same).to_have_count(0)


def test_compare_the_curves_of_two_tasks(page: Page, run: seed.Run) -> None:
    page.goto(f"/compare?ids={run.steps['train_small']}&ids={run.steps['train_large']}")
    expect(page.get_by_role("row").filter(has_text="train loss")).to_contain_text("0.125")
    expect(page.locator(".scatterlayer .trace")).to_have_count(4)


def test_compare_names_curves_by_run_and_step(page: Page, run: seed.Run, other: seed.Run) -> None:
    page.goto(f"/compare?ids={run.id}&ids={other.id}")
    page.locator(".charts").scroll_into_view_if_needed()
    expect(page.locator(".scatterlayer .trace")).to_have_count(8)
    names = page.evaluate("document.querySelector('.plot').data.map(trace => trace.name)")
    assert "good run · train_small · valid" in names
    assert "other run · train_large · train" in names
    headers = page.locator("table", has_text="seed").get_by_role("rowheader")
    expect(headers.first).to_contain_text("seed")


def test_compare_marks_the_best_and_plots_it(server: Embedded, page: Page) -> None:
    tasks = []
    for number, (loss, accuracy) in enumerate(((0.5, 0.75), (0.25, 0.625))):
        args = seed.parameters("Args", rate=str(number / 4), kind="same")
        tasks.append(server.new_task(name=f"compared {number}", hyperparams=args))
        server.events(*seed.scalar(tasks[-1], "val_loss", "x", 1.0, loss))
        server.events(*seed.scalar(tasks[-1], "accuracy", "x", 0.0, accuracy))
    page.goto("/compare?" + "&".join(f"ids={task}" for task in tasks))
    best = page.locator(".highest")
    expect(best).to_have_text(["0.75", "0.25"])
    page.get_by_role("combobox", name="Parameter").select_option("Args rate")
    page.get_by_role("combobox", name="Metric").select_option("val_loss x")
    page.get_by_role("button", name="Plot").click()
    plot = page.get_by_role("group", name="val_loss x by Args rate")
    expect(plot.locator(".scatterlayer .point")).to_have_count(2)
    drawn = plot.evaluate("plot => [[...plot.data[0].x], [...plot.data[0].y], plot.data[0].text]")
    assert drawn == [[0, 0.25], [0.5, 0.25], ["compared 0", "compared 1"]]


def test_compare_old_and_new_parameters(server: Embedded, page: Page) -> None:
    """One run has `epochs` as a parameter of its own, the other as an entry of `training`."""
    old = server.new_task(name="old", hyperparams=seed.parameters("kwargs", epochs="3", loss="bce", seed="1"))
    training = seed.parameters("kwargs", training='{"epochs": 4, "loss": "bce", "seed": 1}')
    new = server.new_task(name="new", hyperparams=training)
    page.goto(f"/compare?ids={old}&ids={new}")
    expect(page.get_by_role("heading", name="Parameters")).to_contain_text("1 differ")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="epochs"))
    expect(row.get_by_role("cell")).to_have_text(["3", "4"])


def test_compare_needs_two(page: Page, run: seed.Run) -> None:
    page.goto(f"/compare?ids={run.id}")
    expect(page.get_by_text("Select two or more to compare.")).to_be_visible()


@pytest.fixture(scope="module")
def listed(server: Embedded) -> list[str]:
    """Three tasks with a loss and a rate: the second has the smallest loss, the third none."""
    tasks = []
    for number, loss in enumerate((0.5, 0.25, None)):
        rate = seed.parameters("Args", rate=str((9, 10, 1)[number]))
        tasks.append(server.new_task(name=f"listed {number}", hyperparams=rate, tags=[f"tag {number % 2}"]))
        if loss:
            server.events(*seed.scalar(tasks[-1], "loss", "valid", 1.0, loss))
    return tasks


def test_a_list_is_sorted_by_its_columns(page: Page, listed: list[str]) -> None:
    names = page.locator("td.name a").filter(has_text="listed")
    page.goto("/tasks?q=listed")
    expect(names).to_have_text(["listed 2", "listed 1", "listed 0"])
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("loss valid").check()
    page.get_by_label("rate").check()
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("row").nth(2)).to_contain_text(re.compile(r"0\.25.*10", re.DOTALL))
    page.get_by_role("link", name="loss valid").click()
    expect(page.get_by_role("columnheader", name="loss valid")).to_have_attribute("aria-sort", "ascending")
    expect(names).to_have_text(["listed 1", "listed 0", "listed 2"])
    page.get_by_role("link", name="rate").click()
    expect(names).to_have_text(["listed 2", "listed 0", "listed 1"])
    page.get_by_role("link", name="rate").click()
    expect(names).to_have_text(["listed 1", "listed 0", "listed 2"])
    page.reload()
    expect(names).to_have_text(["listed 1", "listed 0", "listed 2"])
    page.get_by_role("link", name="tag 0").first.click()
    expect(names).to_have_text(["listed 2", "listed 0"])


def test_a_view_that_cannot_be_is_the_usual_one(server: Embedded, listed: list[str]) -> None:
    quoted = 'parameter|a"|b'
    wrong = ("sort=nothing", "sort=-metric|no|x", "column=metric|a", f"column={quoted}&sort={quoted}",
             "column=metric|%00|x", "status=odd", "from=-1")  # fmt: skip
    for query in wrong:
        answer = fetch(f"{server.api}/tasks?q=listed&{quote(query, safe='=&%')}", headers=server.session)
        assert (answer.status, answer.body.count(b"listed ")) == (200, 2 * len(listed)), query


def test_ticked_tasks_are_changed_together(server: Embedded, page: Page) -> None:
    tasks = [server.new_task(name=f"ticked {number}") for number in range(3)]
    server.call("tasks.started", task=tasks[0])

    def tick(*numbers: int) -> None:
        for number in numbers:
            page.get_by_label(f"Select ticked {number}").check()

    page.goto("/tasks?q=ticked&sort=name")
    expect(page.get_by_role("button", name="Archive")).to_be_hidden()
    tick(0, 2)
    page.locator("summary", has_text="Tag").click()
    page.get_by_label("Tag", exact=True).last.fill("good one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("tags are changed")
    assert [server.task(task)["tags"] for task in tasks] == [["good one"], [], ["good one"]]
    assert "q=ticked&sort=name" in page.url
    tick(0, 1)
    page.locator("summary", has_text="Abort").click()
    page.get_by_role("button", name="Abort selected tasks").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("aborted")
    assert [server.task(task)["status"] for task in tasks] == ["stopped", "created", "created"]
    tick(1)
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("row")).to_have_count(3)
    assert "archived" in server.task(tasks[1])["system_tags"]
    tick(0, 2)
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete selected tasks").click()
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    assert server.call("tasks.get_all", id=tasks).data["tasks"][0]["id"] == tasks[1]


def test_a_tag_is_added_and_removed(server: Embedded, page: Page) -> None:
    task = server.new_task(name="to be tagged")
    page.goto(f"/projects/*/experiments/{task}")
    page.locator("summary", has_text="More").click()
    page.get_by_label("Tag", exact=True).fill("new tag")
    page.get_by_role("button", name="Add tag").click()
    expect(page.locator(".state .tag")).to_have_text("new tag")
    page.locator("summary", has_text="More").click()
    page.get_by_role("button", name="Remove tag new tag").click()
    expect(page.locator(".state .tag")).to_have_count(0)


def test_the_choice_survives_the_live_list(server: Embedded, page: Page) -> None:
    server.new_task(name="chosen one", type="controller")
    page.goto("/?q=one")
    page.get_by_label("Select chosen one").check()
    server.new_task(name="another one", type="controller")
    expect(page.get_by_role("link", name="another one")).to_be_visible()
    expect(page.get_by_label("Select chosen one")).to_be_checked()


def test_models(page: Page, run: seed.Run) -> None:
    page.goto("/models?published=1&q=large")
    expect(page.get_by_role("row").nth(1)).to_contain_text(
        re.compile("large.*published.*0.9375.*train_large", re.DOTALL)
    )
    expect(page.get_by_role("columnheader", name="Validation F2")).to_be_visible()
    page.get_by_role("link", name="large", exact=True).first.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == b"weights"


def test_datasets(page: Page, dataset: tuple[str, str]) -> None:
    page.goto("/datasets")
    expect(page.get_by_role("row").nth(1)).to_contain_text(
        re.compile("chips.*1.2.3.*completed.*3", re.DOTALL)
    )
    page.get_by_role("link", name="chips").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chips 1.2.3")
    expect(page.locator(".chips img")).to_have_count(3)
    expect(page.locator(".chips img").first).to_have_js_property("naturalWidth", 1)
    page.get_by_label("File name contains").fill("chip_2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 3 files")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="chip_2.png")).to_contain_text("70 B")


def test_datasets_by_the_links_that_the_sdk_prints(page: Page, dataset: tuple[str, str]) -> None:
    project, task = dataset
    for kind in ("simple", "versioned"):
        page.goto(f"/datasets/{kind}/{project}/experiments/{task}")
        expect(page.get_by_role("heading", level=1)).to_have_text("chips 1.2.3")


def test_a_dataset_shows_its_labels_and_chips_with_their_tags(server: Embedded, page: Page) -> None:
    project, task = seed.dataset(server, "described")
    url = seed.upload(server, f"shop/{task}/chip.png", seed.PIXEL)
    image = {"type": "training_debug_image", "task": task, "metric": "example", "iter": 0, "timestamp": 1}
    counts = [{"type": "bar", "x": ["clear", "haze"], "y": [2, 1]}]
    server.events(
        {**image, "variant": "chip_0: clear primary", "url": url},
        seed.plot(task, "chips per label", "chips", data=counts, layout={}),
    )
    page.goto(f"/datasets/simple/{project}/experiments/{task}")
    expect(page.locator(".chips img")).to_have_js_property("naturalWidth", 1)
    expect(page.locator(".chips figcaption")).to_contain_text("chip_0: clear primary")
    expect(page.locator(".chart .xtick text")).to_have_text(["clear", "haze"])


def test_a_model_leads_to_its_run_and_to_what_it_was_made_from(
    server: Embedded, page: Page, run: seed.Run, dataset: tuple[str, str]
) -> None:
    inputs = seed.parameters("kwargs", dataset_id=dataset[1], chips=dataset[1], split_id="f" * 32)
    task = server.new_task(name="train", parent=run.id, hyperparams=inputs)
    model = server.call("models.create", name="heir", uri="", task=task, ready=False).data["id"]
    judged = {"key": "evaluate_id", "value": run.steps["evaluate_small"], "type": "str"}
    server.call("models.add_or_update_metadata", model=model, metadata=[judged])
    page.goto(f"/projects/*/models/{model}")
    for name, target in (("train", task), ("chips", dataset[1]), ("evaluate_small", judged["value"])):
        link = page.get_by_role("main").get_by_role("link", name=name, exact=True)
        expect(link).to_have_attribute("href", re.compile(f"/experiments/{target}$"))
    expect(page.locator(".facts a", has_text="run")).to_have_count(1)
    expect(page.locator(".facts th")).not_to_contain_text(["split_id"])


def test_workers(server: Embedded, page: Page) -> None:
    task = server.new_task(name="in work")
    server.call("tasks.started", task=task)
    seed.worker(server, "box:idle", seed.queue(server, "default"))
    seed.worker(server, "box:busy", seed.queue(server, "default"), task)
    page.goto("/workers")
    row = page.get_by_role("row").filter(has_text="box:busy")
    for shown in ("busy", "in work", "default", "50 %", "2 GB of 8 GB"):
        expect(row).to_contain_text(shown)
    expect(page.get_by_role("row").filter(has_text="box:idle")).to_contain_text("idle")
    page.goto("/queues")
    expect(page.get_by_role("region", name="default")).to_contain_text("box:busy · busy")


def test_tasks_of_a_project(page: Page, run: seed.Run, dataset: tuple[str, str]) -> None:
    page.goto(f"/projects/{run.project}")
    expect(page.get_by_role("link", name="train_small").first).to_be_visible()
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Name contains").fill("train")
    page.get_by_role("button", name="Search").click()
    for row in page.get_by_role("row").all()[1:]:
        expect(row).to_contain_text(re.compile("train.*failed", re.DOTALL))


def test_long_lists_come_in_pages(server: Embedded, page: Page) -> None:
    for number in range(55):
        server.new_task(name=f"paged {number:02}")
    page.goto("/tasks?q=paged")
    expect(page.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("row")).to_have_count(6)
    expect(page.get_by_role("link", name="paged 00")).to_be_visible()
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_role("link", name="paged 54")).to_be_visible()
