"""Lists of models, datasets, queues, workers and tasks; comparisons."""

import re

from playwright.sync_api import Page, expect
from support import seed
from support.embedded import Embedded


def test_compare_two_runs(page: Page, run: seed.Run, other: seed.Run) -> None:
    page.goto("/?q=run")
    page.get_by_label("Compare good run", exact=True).check()
    page.get_by_label("Compare other run").check()
    page.get_by_role("button", name="Compare selected runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare")
    models = page.locator("table").nth(1)
    expect(models.get_by_role("row").filter(has_text=re.compile("validation F2.*large"))).to_contain_text(
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


def test_the_choice_survives_the_live_list(server: Embedded, page: Page) -> None:
    server.new_task(name="chosen one", type="controller")
    page.goto("/?q=one")
    page.get_by_label("Compare chosen one").check()
    server.new_task(name="another one", type="controller")
    expect(page.get_by_role("link", name="another one")).to_be_visible()
    expect(page.get_by_label("Compare chosen one")).to_be_checked()


def test_models(page: Page, run: seed.Run) -> None:
    page.goto("/models?published=1&q=large")
    expect(page.get_by_role("row").nth(1)).to_contain_text(
        re.compile("large.*published.*train_large", re.DOTALL)
    )
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
