"""The page in a real browser: the way in, and the first steps."""

from browsing import link
from embedded import Embedded
from playwright.sync_api import Browser, Page, expect


def test_log_in_and_open_a_run(server: Embedded, page: Page) -> None:
    run = server.new_task(name="first run", type="controller")
    page.goto("/")
    page.get_by_role("link", name="first run").click()
    expect(page).to_have_title("first run")
    assert run in page.url


def test_a_link_opens_the_page_once(server: Embedded, browser: Browser) -> None:
    used = link(server)
    for expected in (200, 401):
        context = browser.new_context()
        answer = context.new_page().goto(used)
        assert answer is not None
        assert answer.status == expected
        context.close()
