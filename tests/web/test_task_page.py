"""One task, tab by tab."""

import re

import pytest
from playwright.sync_api import Page, expect
from support import seed
from support.embedded import Embedded, fetch

TABS = {
    "/output/log": "Console",
    "/info-output/log": "Console",
    "/info-output/metrics/scalar": "Scalars",
    "/info-output/metrics/plots": "Plots",
    "/info-output/debugImages": "Images",
    "/hyper-params/hyper-param/Args": "Configuration",
    "/execution": "Configuration",
    "/artifacts/output": "Artifacts",
    "/general": "Overview",
    "": "Overview",
}


@pytest.mark.parametrize(("path", "tab"), TABS.items())
def test_links_in_the_forms_of_clearml(page: Page, run: seed.Run, path: str, tab: str) -> None:
    for room in ("projects/*/experiments", "projects/any/tasks"):
        page.goto(f"/{room}/{run.steps['train_small']}{path}")
        expect(page.get_by_role("heading", level=1)).to_have_text("train_small")
        expect(page.get_by_label("Parts of the task").locator("[aria-current]")).to_have_text(tab)


def test_the_console_has_colours(page: Page, run: seed.Run) -> None:
    page.goto(run.step("train_small", "/output/log"))
    expect(page.locator(".ansi-31")).to_have_text("red")
    console = page.get_by_role("log")
    expect(console).to_contain_text("and plain")
    expect(console).to_contain_text("epoch 3")
    expect(console).not_to_contain_text("epoch 1")
    expect(console).not_to_contain_text("\x1b")


def test_the_console_grows(server: Embedded, page: Page) -> None:
    task = server.new_task(name="talking")
    server.call("tasks.started", task=task)
    page.goto(f"/projects/*/experiments/{task}/output/log")
    for number in range(3):
        server.events(*seed.log(task, f"line {number}", start=1_700_000_000_000 + number))
        expect(page.get_by_role("log")).to_contain_text(f"line {number}")
    expect(page.locator(".entry")).to_have_count(3)


def test_the_console_takes_reports_out_of_order(server: Embedded, page: Page) -> None:
    """More reports than one answer holds, latest first and far apart: all show, in order of time."""
    task = server.new_task(name="out of order")
    server.call("tasks.started", task=task)
    server.events(*seed.log(task, "first", start=1_700_000_000_000))
    page.goto(f"/projects/*/experiments/{task}/output/log")
    expect(page.locator(".entry")).to_have_count(1)
    lines = seed.log(task, *(f"line {number:03}" for number in range(700)), start=1_700_000_001_000)
    server.events(*reversed(lines))
    expect(page.locator(".entry")).to_have_count(701)
    shown = page.locator(".entry .output").all_text_contents()
    assert shown == ["first", *(f"line {number:03}" for number in range(700))]


def test_a_json_parameter_shows_its_entries(server: Embedded, page: Page) -> None:
    task = server.new_task(
        name="json", hyperparams=seed.parameters("kwargs", training='{"epochs": 3}', seed="1")
    )
    page.goto(f"/projects/*/experiments/{task}")
    expect(page.get_by_role("row").filter(has_text="training.epochs")).to_contain_text("3")
    page.goto(f"/projects/*/experiments/{task}/configuration")
    expect(page.get_by_label("training")).to_have_value('{"epochs": 3}')


def test_a_long_console_opens_at_its_end(server: Embedded, page: Page) -> None:
    task = server.new_task(name="long")
    server.events(*seed.log(task, *(f"line {number:04}" for number in range(1200))))
    page.goto(f"/projects/*/experiments/{task}/output/log")
    console = page.get_by_role("log")
    expect(console.get_by_text("line 1199")).to_be_in_viewport()
    expect(console).not_to_contain_text("line 0699")
    page.get_by_role("link", name="Earlier lines").click()
    expect(console).to_contain_text("line 0699")
    page.get_by_role("link", name="To the end").click()
    expect(console).to_contain_text("line 1199")


def test_the_console_is_searched(server: Embedded, page: Page) -> None:
    task = server.new_task(name="searched")
    server.events(*seed.log(task, *(f"line {number}" for number in range(700)), "a NEEDLE (.*) here"))
    page.goto(f"/projects/*/experiments/{task}/output/log")
    page.get_by_label("Search in the console").fill("needle (.*)")
    page.keyboard.press("Enter")
    expect(page.locator(".entry")).to_have_count(1)
    expect(page.locator(".found")).to_have_text("NEEDLE (.*)")
    page.get_by_role("link", name="Show all").click()
    expect(page.locator(".entry")).to_have_count(500)


def test_the_console_shows_what_the_task_printed(server: Embedded, page: Page) -> None:
    """The agent's preparations and the SDK's own lines are hidden, and shown on request."""
    task = server.new_task(name="by an agent/1")
    server.call("tasks.started", task=task)
    server.events(*seed.log(task, *seed.AGENT, "epoch 1"))
    page.goto(f"/projects/*/experiments/{task}/output/log")
    shown = page.locator(".entry:visible")
    expect(shown).to_have_text([re.compile("epoch 1")])
    page.get_by_label("lines of the agent").check()
    expect(shown).to_have_count(5)
    page.get_by_label("lines of the agent").uncheck()
    # A second attempt, which the page takes up while its agent still prepares it.
    server.events(*seed.log(task, *seed.AGENT[:2], start=1_700_000_100_000))
    expect(page.locator(".entry")).to_have_count(7)
    server.events(*seed.log(task, *seed.AGENT[2:], "epoch 2", start=1_700_000_200_000))
    expect(shown).to_have_text([re.compile("epoch 1"), re.compile("epoch 2")])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "by an agent_1.log"
    text = download.value.path().read_text()
    assert text.startswith("task 1 pulled from")
    assert text.endswith("\nepoch 2\n")


def test_the_console_follows_until_one_scrolls_up(server: Embedded, page: Page) -> None:
    task = server.new_task(name="followed")
    server.call("tasks.started", task=task)
    server.events(*seed.log(task, *(f"line {number:03}" for number in range(200))))
    page.goto(f"/projects/*/experiments/{task}/output/log")
    follow, console = page.get_by_label("follow"), page.get_by_role("log")
    server.events(*seed.log(task, "while following", start=1_700_001_000_000))
    expect(console.get_by_text("while following")).to_be_in_viewport()
    console.evaluate("console => console.scrollTo(0, 0)")
    expect(follow).not_to_be_checked()
    server.events(*seed.log(task, "while reading", start=1_700_002_000_000))
    expect(console.get_by_text("while reading")).to_be_attached()
    expect(console.get_by_text("line 000")).to_be_in_viewport()
    follow.check()
    expect(console.get_by_text("while reading")).to_be_in_viewport()


def test_the_last_lines_are_the_last_ones(server: Embedded, page: Page) -> None:
    task = server.new_task(name="verbose")
    report = "\n".join(f"line {number}" for number in range(40))
    server.events(*seed.log(task, *seed.AGENT, "first", report, "the last", "Process completed successfully"))
    page.goto(f"/projects/*/experiments/{task}")
    lines = page.get_by_role("region", name="Last lines of the console")
    expect(lines.get_by_text("the last")).to_be_in_viewport()
    for left_out in ("first", "agent.setting", "Process completed"):
        expect(lines).not_to_contain_text(left_out)


def test_scalars_are_drawn(page: Page, run: seed.Run) -> None:
    page.goto(run.step("train_small", "/info-output/metrics/scalar"))
    expect(page.locator(".scatterlayer .trace")).to_have_count(2)
    expect(page.get_by_role("row").filter(has_text="train")).to_contain_text("0.125")


@pytest.fixture(scope="module")
def curves(server: Embedded) -> str:
    """Address of the curves of a training of two epochs with five iterations each."""
    task = server.new_task(name="curves")
    server.events(
        *seed.scalar(task, "accuracy", "test", *(n / 10 for n in range(10))),
        *seed.scalar(task, "error", "train", *(1 / (n + 1) for n in range(10))),
        *seed.scalar(task, "error", "test", *(2 / (n + 1) for n in range(10))),
        *seed.scalar(task, "epoch", "epoch", *(n // 5 for n in range(10))),
        *seed.scalar(task, "at the end", "test", 0.75),
    )
    return f"/projects/*/experiments/{task}/info-output/metrics/scalar"


def test_results_come_before_bookkeeping(page: Page, curves: str) -> None:
    page.goto(curves)
    captions = page.locator("figcaption").evaluate_all("all => all.map(each => each.firstChild.textContent)")
    assert captions == ["error", "accuracy", "at the end", "epoch"]
    expect(page.get_by_role("rowheader").or_(page.locator("td.name")).first).to_have_text("error")


def test_curves_are_smoothed_and_scaled_by_the_address(page: Page, curves: str) -> None:
    page.goto(f"{curves}?smooth=0.5&log=1&x=epoch")
    expect(page.get_by_label("Smoothing")).to_have_value("0.5")
    drawn = page.locator(".plot").first
    expect(drawn.locator(".scatterlayer .trace")).to_have_count(4)
    assert drawn_x(page) == [0.0] * 5 + [1.0] * 5
    assert page.evaluate("document.querySelector('.plot').layout.yaxis.type") == "log"
    smooth = page.evaluate("[...document.querySelector('.plot').data[1].y]")
    assert smooth[:2] == pytest.approx([2, (0.5 * 2 + 1) / 1.5])
    page.get_by_label("Horizontal axis").select_option("time")
    expect(drawn.locator(".xtitle")).to_have_text(re.compile("^seconds"))
    page.get_by_label("logarithmic").uncheck()
    page.get_by_label("Smoothing").fill("0")
    expect(drawn.locator(".scatterlayer .trace")).to_have_count(2)
    assert page.url.endswith("?x=time")


def drawn_x(page: Page) -> list[float]:
    drawn: list[float] = page.evaluate("[...document.querySelector('.plot').data[1].x]")
    return drawn


def test_curves_are_downloaded_and_sent_nowhere(page: Page, curves: str) -> None:
    page.goto(curves)
    figure = page.locator("figure").first
    with page.expect_download() as values:
        figure.get_by_role("button", name="Download the values").click()
    lines = values.value.path().read_text().splitlines()
    assert (values.value.suggested_filename, len(lines)) == ("error.csv", 21)
    assert lines[0] == "series,iteration,epoch,time,value"
    assert lines[1].startswith('"test",0,0,2023-11-14T22:13:20.000Z,2')
    with page.expect_download() as image:
        figure.get_by_role("button", name="Download as an image").click()
    assert image.value.path().read_bytes().startswith(b"\x89PNG")
    titles = page.locator(".modebar-btn").evaluate_all("all => all.map(each => each.dataset.title)")
    assert [title for title in titles if title and "Share" in title] == []
    icon = figure.locator(".modebar-btn svg").first
    assert icon.evaluate("icon => [getComputedStyle(icon).padding, icon.clientHeight > 10]") == ["0px", True]


def test_the_plots_of_a_controller_are_left_to_the_page_of_the_run(server: Embedded, page: Page) -> None:
    task = server.new_task(name="controller", type="controller")
    link = {
        "type": "table",
        "header": {"values": ["<b>step</b>"]},
        "cells": {"values": [['<a href="x">a 1</a>']]},
    }
    for metric in ("Pipeline", "Pipeline Details", "own"):
        server.events(seed.plot(task, metric, "x", data=[link], layout={}))
    page.goto(f"/projects/*/experiments/{task}/info-output/metrics/plots")
    expect(page.locator("figure")).to_have_count(1)
    expect(page.get_by_role("table")).to_have_text(re.compile(r"^\s*step\s*a 1\s*$"))


def test_tables_and_plots(page: Page, run: seed.Run) -> None:
    page.goto(run.step("evaluate_small", "/info-output/metrics/plots"))
    expect(page.get_by_role("table")).to_contain_text(re.compile("label.*f2.*clear.*0.75", re.DOTALL))
    expect(page.locator(".scatterlayer .trace")).to_have_count(1)


def test_debug_images_are_shown(page: Page, run: seed.Run) -> None:
    page.goto(run.step("evaluate_small", "/info-output/debugImages"))
    image = page.get_by_role("img", name="mistakes test")
    expect(image).to_have_js_property("naturalWidth", 1)


def test_debug_samples_other_than_images(server: Embedded, page: Page) -> None:
    """Audio and video play; other files and other servers are links: no picture is broken."""
    task = server.new_task(name="media")
    names = ("sound.mp3", "film.mp4", "words.txt", "page.html", "picture.png")
    urls = [seed.upload(server, f"p/media.{task}/{name}", seed.PIXEL) for name in names]
    for number, url in enumerate([*urls, "https://elsewhere.example/far.png", "file:///uploading_file"]):
        sample = {"task": task, "metric": "m", "variant": str(number), "url": url, "iter": 0, "timestamp": 1}
        server.events({"type": "training_debug_image", **sample})
    page.goto(f"/projects/*/experiments/{task}/info-output/debugImages")
    expect(page.locator("audio")).to_have_attribute("src", urls[0].replace(server.files, "/files"))
    expect(page.locator("video")).to_have_attribute("src", urls[1].replace(server.files, "/files"))
    expect(page.get_by_role("img", name="m 4")).to_have_js_property("naturalWidth", 1)
    for name in ("words.txt", "page.html", "far.png"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("This file was never uploaded.")
    expect(page.locator(".images img")).to_have_count(1)


def test_artifacts_are_downloaded(page: Page, run: seed.Run) -> None:
    page.goto(run.step("evaluate_small", "/artifacts"))
    expect(page.get_by_role("row").filter(has_text="bundle")).to_contain_text("7 B")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == b"content"


def test_configuration_and_source(page: Page, run: seed.Run) -> None:
    page.goto(f"{run.path}/configuration")
    expect(page.locator("main")).to_contain_text("small,large")
    page.get_by_text("Script or uncommitted changes").click()
    expect(page.get_by_text("print(1)")).to_be_visible()


def test_a_failed_task_begins_with_its_error(page: Page, failed: seed.Run) -> None:
    for tab in ("", "/output/log", "/artifacts"):
        page.goto(failed.step("train_small", tab))
        failure = page.get_by_role("region", name="What went wrong")
        expect(failure.get_by_role("heading")).to_have_text("Failed: RuntimeError: out of chips")
        expect(failure).to_contain_text('File "train.py", line 1')


def test_unknown_addresses_get_404(server: Embedded) -> None:
    answer = fetch(f"{server.api}/projects/*/experiments/unknown", headers=server.session)
    assert answer.status == 404
    assert b"There is no such task" in answer.body
    for path in (
        "/projects/unknown",
        "/projects/*/models/unknown",
        "/compare?ids=unknown",
        "/datasets/simple/*/experiments/unknown",
    ):
        assert fetch(server.api + path, headers=server.session).status == 404
