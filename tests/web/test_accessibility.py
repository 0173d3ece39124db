"""Every page passes axe, in both themes: names, roles, contrast."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from support import seed
from support.browsing import link
from support.embedded import Embedded

from server.web.routes import SECTIONS

pytestmark = pytest.mark.slow

TABS = ("/configuration", "/output/log", "/info-output/metrics/scalar", "/info-output/metrics/plots")
NOT_THERE = "/nowhere"


@pytest.fixture(scope="module")
def addresses(server: Embedded, run: seed.Run, failed: seed.Run, dataset: tuple[str, str]) -> list[str]:
    seed.worker(server, "machine:0", seed.queue(server, "cpu"), run.steps["train_small"])
    project, version = dataset
    model = server.call("models.get_all", task=[run.steps["train_large"]]).data["models"][0]["id"]
    step, evaluated = run.step("train_large"), run.step("evaluate_large")
    return [
        *("/", "/tasks", "/models", "/datasets", "/queues", "/workers", NOT_THERE),
        *(run.path, f"/new-run/{run.id}", failed.path, f"{run.path}/configuration"),
        *(f"/projects/{run.project}", f"/projects/{run.project}/experiments"),
        *(f"{place}{tab}" for place in (step, evaluated) for tab in ("", *TABS)),
        *(f"{evaluated}/info-output/debugImages", f"{evaluated}/artifacts"),
        *(f"/projects/{run.project}/models/{model}", f"/projects/{run.project}/models/{model}/network"),
        f"/datasets/simple/{project}/experiments/{version}",
        f"/datasets/simple/{project}/experiments/{version}/output/log",
        f"/compare?ids={run.steps['train_small']}&ids={run.steps['train_large']}",
    ]


def test_axe_finds_nothing_on_any_page(browser: Browser, server: Embedded, addresses: list[str]) -> None:
    page = browser.new_page(base_url=server.web, viewport={"width": 1440, "height": 900})
    page.goto("/")
    assert "link" in page.title()
    found = violations(page)
    page.goto(link(server))
    for address in addresses:
        page.emulate_media(color_scheme="light")
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        for plot in page.locator(".plot:visible").all():
            expect(plot.locator(".main-svg").first).to_be_visible()
        found += violations(page)
        page.emulate_media(color_scheme="dark")
        found += violations(page, "color-contrast")
    page.close()
    assert found == []


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe finds on a page by all its rules, or by some."""
    only = {"runOnly": rules} if rules else {}
    result = Axe().run(page, options={"resultTypes": ["violations"], **only})
    return [
        f"{page.url}: {violation['id']}: {node['html']}"
        for violation in result.response["violations"]
        for node in violation["nodes"]
    ]


def test_no_page_is_left_out(addresses: list[str]) -> None:
    """Those under `/tasks` are second addresses of pages under `/experiments`."""
    patterns = [path for section in SECTIONS for path in section.pages if "/tasks" not in path[1:]]
    visited = [address.partition("?")[0] for address in addresses]
    assert [path for path in patterns if not any(_matches(path, address) for address in visited)] == []


def _matches(pattern: str, address: str) -> bool:
    any_tab = re.sub(r"\{\w+:path\}", ".+", pattern)
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", any_tab), address) is not None
