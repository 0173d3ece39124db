"""The page in a real browser: login, keyboard, phones, page weight."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from support import seed
from support.browsing import link, listen
from support.embedded import Embedded

LARGEST_VIEW = 200_000


def addresses(run: seed.Run, failed: seed.Run, dataset: tuple[str, str]) -> list[str]:
    """Every kind of page."""
    tabs = (
        "",
        "/output/log",
        "/info-output/metrics/scalar",
        "/info-output/debugImages",
        "/configuration",
        "/artifacts",
    )
    return [
        "/",
        "/tasks",
        "/models",
        "/datasets",
        "/queues",
        "/workers",
        run.path,
        failed.path,
        f"/new-run/{run.id}",
        *(run.step("train_small", tab) for tab in tabs),
        run.step("evaluate_small", "/info-output/metrics/plots"),
        f"/compare?ids={run.id}&ids={failed.id}",
        "/datasets/simple/{}/experiments/{}".format(*dataset),
    ]


def test_log_in_and_open_a_run(server: Embedded, page: Page) -> None:
    run = server.new_task(name="first run", type="controller")
    page.goto("/")
    page.get_by_role("link", name="first run").click()
    expect(page).to_have_title("first run")
    assert run in page.url


def test_a_login_link_works_once(server: Embedded, browser: Browser) -> None:
    used = link(server)
    for expected in (200, 401):
        context = browser.new_context()
        answer = context.new_page().goto(used)
        assert answer is not None
        assert answer.status == expected
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(
    server: Embedded, browser: Browser, run: seed.Run, failed: seed.Run, dataset: tuple[str, str], scheme: str
) -> None:
    context = browser.new_context(
        base_url=server.web, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True
    )  # fmt: skip
    page = context.new_page()
    complaints: list[str] = []
    listen(page, complaints)
    page.goto(link(server))
    for path in addresses(run, failed, dataset):
        page.goto(path)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", background))) < 60) == (scheme == "dark")
    context.close()
    assert complaints == []


def test_first_views_are_light(page: Page, run: seed.Run, failed: seed.Run, dataset: tuple[str, str]) -> None:
    """A first view loads the page, its style and its script, without plotly.js."""
    for path in addresses(run, failed, dataset):
        sizes: dict[str, int] = {}
        page.on("response", lambda answer, sizes=sizes: sizes.setdefault(answer.url, _size(answer)))
        page.goto(path, wait_until="load")
        plotly = [url for url in sizes if url.endswith("/plotly.js")]
        assert sum(size for url, size in sizes.items() if url not in plotly) < LARGEST_VIEW, path
        has_curves = "scalar" in path or "plots" in path or path.startswith("/compare")
        assert bool(plotly) == has_curves, path


def _size(answer: object) -> int:
    return int(answer.headers.get("content-length", 0))  # type: ignore[attr-defined]


def test_keyboard(page: Page, run: seed.Run) -> None:
    page.goto(run.path)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    menu = page.locator("summary", has_text="More")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Clone")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Name of the clone")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Clone")).to_be_hidden()
    expect(menu).to_be_focused()
    node = page.get_by_role("link", name="train_small,")
    node.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("train_small")
    page.goto("/")
    page.keyboard.press("/")
    expect(page.get_by_label("Name contains")).to_be_focused()


def test_focus_is_visible(page: Page, run: seed.Run) -> None:
    page.goto(run.path)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_every_field_has_a_name(
    page: Page, run: seed.Run, failed: seed.Run, dataset: tuple[str, str]
) -> None:
    unnamed = """[...document.querySelectorAll("input:not([type=hidden]), select, textarea, button")]
        .filter(field => !field.labels?.length && !field.ariaLabel && !field.textContent.trim())
        .map(field => field.outerHTML)"""
    for path in addresses(run, failed, dataset):
        page.goto(path)
        assert page.evaluate(unnamed) == [], path
        for landmark in ("banner", "navigation", "main"):
            assert page.get_by_role(landmark).count() >= 1, (path, landmark)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)


def test_pages_work_without_scripts(server: Embedded, browser: Browser, run: seed.Run) -> None:
    context = browser.new_context(base_url=server.web, java_script_enabled=False)
    page = context.new_page()
    page.goto(link(server))
    page.goto(run.path)
    expect(page.get_by_role("link", name="train_small,")).to_be_visible()
    page.get_by_role("link", name="New run").click()
    expect(page.get_by_label("models")).to_have_value("small,large")
    page.goto(run.step("train_small", "/output/log"))
    expect(page.get_by_role("log")).to_contain_text("train_small begins")
    context.close()


def test_the_page_shows_that_the_server_is_gone(page: Page, complaints: list[str]) -> None:
    page.goto("/workers")
    page.route("**/workers?*", lambda route: route.fulfill(status=503))
    expect(page.get_by_role("alert")).to_be_visible()
    page.unroute("**/workers?*")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert all("503" in complaint for complaint in complaints)
    complaints.clear()
