"""The session of a browser: what other programs of this machine get of it, and what a plot can do with it."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect
from support import seed
from support.browsing import link
from support.embedded import Embedded, fetch


@dataclass
class Program:
    """Another program that listens on this machine: it serves one page, and keeps what it receives."""

    port: int
    page: str = ""
    cookies: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


@contextmanager
def another_program() -> Iterator[Program]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            program.seen.append(f"{self.headers['Host']}{self.path}")
            program.cookies += self.headers.get_all("Cookie", [])
            body = program.page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    program = Program(listening.server_port)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield program
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@pytest.fixture
def program() -> Iterator[Program]:
    with another_program() as started:
        yield started


def test_programs_on_other_ports_get_no_session(
    server: Embedded, page: Page, complaints: list[str], program: Program
) -> None:
    """Cookies ignore ports: a session at 127.0.0.1 would go to every program of this machine."""
    task = server.new_task(name="kept")
    calls = ("/tasks.delete", "/tasks.delete/", "//tasks.delete", "/actions/delete", "/%2Ftasks.delete")
    sources = [f"{server.api}{path}?task={task}&force=true" for path in calls]
    program.page = "".join(f"<img src='{source}'><iframe src='{source}'></iframe>" for source in sources)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pipeline runs")
    for host in ("127.0.0.1", "localhost", "other.localhost"):
        page.goto(f"http://{host}:{program.port}/")
        page.wait_for_load_state("networkidle")
    assert len({visit.partition("/")[0] for visit in program.seen}) == 3
    assert program.cookies == []
    assert server.task(task)["name"] == "kept"
    complaints.clear()


def test_a_program_that_knows_the_name_gets_no_session_by_itself(
    server: Embedded, page: Page, complaints: list[str], program: Program
) -> None:
    """A page elsewhere that embeds the private name at its own port is another site to the browser."""
    name = server.web.partition("://")[2].partition(":")[0]
    program.page = f"<img src='http://{name}:{program.port}/image'>"
    page.goto("/")
    page.goto(f"http://127.0.0.1:{program.port}/")
    page.wait_for_load_state("networkidle")
    assert f"{name}:{program.port}/image" in program.seen
    assert program.cookies == []
    complaints.clear()


def test_the_plain_address_leads_to_the_page(server: Embedded, page: Page, complaints: list[str]) -> None:
    plain = link(server).replace(server.web, server.api)
    assert plain.startswith("http://127.0.0.1:")
    page.context.clear_cookies()
    assert page.goto(server.api).status == 401  # type: ignore[union-attr]
    page.goto(plain)
    expect(page).to_have_url(f"{server.web}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pipeline runs")
    assert [cookie["domain"] for cookie in page.context.cookies()] == [server.web.split("/")[2].split(":")[0]]
    complaints.clear()  # of the visit without a session


def test_an_address_survives_the_login(server: Embedded, page: Page, complaints: list[str]) -> None:
    task = server.new_task(name="asked for")
    page.context.clear_cookies()
    page.goto(f"/projects/*/experiments/{task}/output/log?q=a%20b%26c")
    expect(page.get_by_text("make status")).to_be_visible()
    page.goto(link(server))
    expect(page.get_by_role("heading", level=1)).to_have_text("asked for")
    expect(page.get_by_label("Search in the console")).to_have_value("a b&c")
    page.goto(link(server))
    expect(page).to_have_url(f"{server.web}/")
    complaints.clear()  # of the visit without a session


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example",
        "/a/..//evil.example",
        "%2F%2Fevil",
        "/\\evil",
        "/%2e%2e/x",
        "x",
        "",
    ],
)
def test_a_login_leads_to_no_other_site(server: Embedded, address: str) -> None:
    token, port = server.call("auth.link").data["token"], server.web.rpartition(":")[2]
    host = {
        "Host": server.web.partition("://")[2],
        "Cookie": f"clearml_{port}_wanted={quote(address, safe='')}",
    }
    answer = fetch(f"{server.api}/login?token={token}", headers=host)
    assert (answer.status, answer.headers["Location"]) == (303, "/")


def test_an_unknown_address_is_a_page_for_browsers(
    server: Embedded, page: Page, complaints: list[str]
) -> None:
    for path in ("/no/such/page", "/static/none.js"):
        assert page.goto(path).status == 404  # type: ignore[union-attr]
        expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    assert fetch(f"{server.api}/no/such/page", headers=server.bearer).error == (404, 0)
    html = server.bearer | {"Accept": "text/html"}
    assert fetch(f"{server.api}/tasks.no_such_call", headers=html).error == (404, 0)
    complaints.clear()


@pytest.mark.parametrize("path", ["/plotly.js", "/static/page.js", "/static/charts.js", "/static/style.css"])
def test_scripts_and_styles_are_compressed_and_kept(server: Embedded, path: str) -> None:
    plain = fetch(server.api + path)
    packed = fetch(server.api + path, headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < 0.5 * len(plain.body)
    again = fetch(server.api + path, headers={"If-None-Match": packed.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_a_plot_loads_nothing_but_stored_files(
    server: Embedded, page: Page, complaints: list[str], program: Program
) -> None:
    """Whoever reports a plot makes the browsers of its readers load what stands in it."""
    victim, task = server.new_task(name="kept"), server.new_task(name="with plots")
    stored = seed.upload(server, f"shop/{task}/pixel.png", seed.PIXEL)
    paths = ("/tasks.delete", "/tasks.delete/", "//tasks.delete")
    hostile = [f"{path}?task={victim}&force=true" for path in paths]
    hostile += [f"{server.web}{path}" for path in hostile]
    hostile += [f"http://127.0.0.1:{program.port}/image", f"//127.0.0.1:{program.port}/image"]
    images = [{"source": source, "x": 0, "y": 1, "sizex": 1, "sizey": 1} for source in [*hostile, stored]]
    layout = {"images": images, "template": {"layout": {"images": images}}}
    server.events(
        seed.plot(task, "images", "layout", data=[{"y": [1, 2]}], layout=layout),
        seed.plot(task, "images", "trace", data=[{"type": "image", "source": hostile[0]}], layout={}),
        seed.plot(task, "map", "tiles", data=[], layout={"mapbox": {"style": hostile[-1]}}),
        *(seed.plot(task, "single", source[-9:], data=[], layout={"images": [images[at]]})
          for at, source in enumerate(hostile)),
    )  # fmt: skip
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"/projects/*/experiments/{task}/info-output/metrics/plots")
    expect(page.locator(".plot .main-svg image").first).to_be_attached()
    page.wait_for_load_state("networkidle")
    assert f"{server.web}/files/shop/{task}/pixel.png" in requested
    assert [url for url in requested if "tasks.delete" in url or str(program.port) in url] == []
    assert program.seen == []
    assert server.task(victim)["name"] == "kept"
    complaints.clear()


def test_debug_samples_are_shown_from_the_page(server: Embedded, page: Page, program: Program) -> None:
    task = server.new_task(name="with samples")
    event = {"type": "training_debug_image", "task": task, "metric": "m", "iter": 0, "timestamp": 1}
    stored = seed.upload(server, f"shop/{task}/a pixel#1?.png", seed.PIXEL)
    url = stored.replace(" ", "%20").replace("#", "%23").replace("?", "%3F")
    foreign = f"http://127.0.0.1:{program.port}/foreign.png"
    server.events({**event, "variant": "a", "url": url}, {**event, "variant": "b", "url": foreign})
    page.goto(f"/projects/*/experiments/{task}/info-output/debugImages")
    image = page.locator("figure img")
    expect(image).to_have_attribute("src", f"/files/shop/{task}/a%20pixel%231%3F.png")
    expect(image).to_have_js_property("naturalWidth", 1)
    expect(page.get_by_role("link", name="foreign.png")).to_have_attribute("href", foreign)
    assert program.seen == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "image/png"), ("a.html", "text/html"), ("a.js", ""), ("a.css", ""), ("a.mjs", ""), ("a", "")],
)  # fmt: skip
def test_stored_files_are_no_part_of_the_page(server: Embedded, name: str, kind: str) -> None:
    seed.upload(server, f"types/{name}", b"window.evil = 1")
    assert fetch(f"{server.api}/files/types/{name}").status == 401
    answer = fetch(f"{server.api}/files/types/{name}", headers=server.session)
    assert answer.headers["Content-Type"].partition(";")[0] == (kind or "application/octet-stream")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert fetch(f"{server.api}/files/types/{name}", "DELETE", headers=server.session).status in (401, 405)
    assert fetch(f"{server.api}/files/types/none", headers=server.session).status == 404
