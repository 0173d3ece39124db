"""Who may ask for what: credentials on every route, and the defence against other web sites."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from support.embedded import Answer, Embedded, fetch, running

from server.credentials import Credentials, InvalidToken
from server.services import discover

ENDPOINTS = sorted({name for service in discover() for name in service.endpoints} - {"debug.ping"})
PAGES = ["/", "/projects/p/experiments/t/output/log", "/projects/p/tasks/t", "/pipelines/p/experiments/t"]
STRANGERS = {
    "nothing": ({}, 20),
    "an unknown key": ({"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="}, 20),
    "a broken pair": ({"Authorization": "Basic %%%"}, 20),
    "no token": ({"Authorization": "Bearer nonsense"}, 30),
    "a forged token": ({"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJhdXRoX3R5cGUiOiJCZWFyZXIifQ."}, 30),
    "a bad cookie": ({"Cookie": "clearml_token_basic=nonsense"}, 20),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_call_without_credentials(shared: Embedded, endpoint: str) -> None:
    assert fetch(f"{shared.api}/{endpoint}", "POST", b"{}").error == (401, 20)


def test_a_health_check_needs_no_credentials(shared: Embedded) -> None:
    """The image's check demands a 200, as ClearML's own server answers it."""
    assert fetch(f"{shared.api}/debug.ping").data == {}


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("path", ["/auth.login", "/tasks.get_all", "/v2.23/no.such_call"])
def test_unauthenticated_requests_get_the_reason(shared: Embedded, path: str, who: str) -> None:
    headers, subcode = STRANGERS[who]
    reason = 22 if path == "/auth.login" and "Basic" in headers.get("Authorization", "") else subcode
    assert fetch(shared.api + path, headers=headers).error == (401, reason)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_no_file_without_credentials(shared: Embedded, method: str, who: str) -> None:
    body = b"x" if method in ("POST", "PUT") else None
    assert fetch(f"{shared.files}/a/b", method, body, STRANGERS[who][0]).status == 401


@pytest.mark.parametrize("path", PAGES)
def test_no_page_without_a_session(shared: Embedded, path: str) -> None:
    answer = fetch(shared.api + path)
    assert answer.status == 401
    assert b"python -m server link" in answer.body


def test_a_token_renews_itself(shared: Embedded) -> None:
    token = fetch(f"{shared.api}/auth.login", headers=shared.bearer).data["token"]
    assert fetch(f"{shared.api}/tasks.get_all", headers={"Authorization": f"Bearer {token}"}).status == 200


def test_a_token_ends_when_it_was_asked_to(shared: Embedded) -> None:
    from support.embedded import wait_for

    token = fetch(f"{shared.api}/auth.login?expiration_sec=1", headers=shared.basic).data["token"]
    headers = {"Authorization": f"Bearer {token}"}
    wait_for(
        lambda: fetch(f"{shared.api}/tasks.get_all", headers=headers).status == 401, "the token's end", 5
    )


def open_address(server: Embedded, url: str) -> Answer:
    """Fetch an address of the page, whose host name only browsers resolve."""
    assert url.startswith(server.web)
    return fetch(server.api + url.removeprefix(server.web), headers={"Host": server.web.partition("://")[2]})


def open_link(server: Embedded) -> tuple[str, Answer]:
    command = [sys.executable, "-m", "server", "link", "--data", str(server.data)]
    link = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.strip()
    return link, open_address(server, link)


def test_a_link_opens_the_page_once(shared: Embedded) -> None:
    link, first = open_link(shared)
    assert len(f"page    {link}") <= 80  # it fits a line of a terminal
    assert (first.status, first.headers["Location"]) == (303, "/")
    cookie = first.headers["Set-Cookie"]
    name, _, attributes = cookie.partition("=")
    assert name == f"clearml_{shared.ports[0]}"
    parts = {part.strip().lower() for part in attributes.split(";")[1:]}
    assert parts == {"httponly", "max-age=28800", "path=/", "samesite=strict"}
    assert open_address(shared, link).status == 401
    session = {"Cookie": cookie.partition(";")[0]}
    assert fetch(shared.api + "/", headers=session).status == 200


def test_a_link_at_the_plain_address_leads_to_the_page(shared: Embedded) -> None:
    token = shared.call("auth.link").data["token"]
    answer = fetch(f"{shared.api}/login?token={token}")
    assert (answer.status, answer.headers["Location"]) == (303, f"{shared.web}/login?token={token}")
    assert "Set-Cookie" not in answer.headers
    assert open_address(shared, answer.headers["Location"]).status == 303
    used = fetch(f"{shared.api}/login?token={token}")
    assert (used.status, shared.web.encode() in used.body) == (401, False)


@pytest.mark.parametrize("name", ["clearml_token_basic", "session"])
def test_cookies_open_no_call_and_no_file(shared: Embedded, name: str) -> None:
    """A browser sends them along also when a page of another program asks."""
    session = shared.session["Cookie"] if name == "session" else f"{name}={shared.token}"
    for cookie in (session, f"{session.partition('=')[0]}={shared.token}"):
        headers = {"Cookie": cookie}
        assert fetch(f"{shared.api}/tasks.get_all", headers=headers).error == (401, 20)
        assert fetch(f"{shared.api}/auth.login", headers=headers).error == (401, 20)
        assert fetch(f"{shared.files}/a", headers=headers).status == 401


def test_a_session_is_no_token_and_a_token_is_no_session(shared: Embedded) -> None:
    name, _, session = shared.session["Cookie"].partition("=")
    bearer = {"Authorization": f"Bearer {session}"}
    assert fetch(f"{shared.api}/tasks.get_all", headers=bearer).error == (401, 30)
    assert fetch(shared.api + "/", headers={"Cookie": f"{name}={shared.token}"}).status == 401


READINGS = (
    "/tasks.delete/", "//tasks.delete", "/./tasks.delete", "/x/../tasks.delete", "/%2Ftasks.delete",
    "/tasks.delete%2F", "/tasks.delete%3F", "/tasks.delete%23", "/tasks.delete%00", "/tasks.delete%0A",
    "/%5Ctasks.delete", "/v2.30//tasks.delete", "/v2.30/tasks.delete/", "/tasks.delete%FF", "/tasks.delete;/",
)  # fmt: skip


@pytest.mark.parametrize("path", READINGS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_has_one_path(shared: Embedded, method: str, path: str) -> None:
    """What the checks at the door see is what runs, so there is one spelling and all others are refused."""
    task = shared.new_task()
    url = f"{shared.api}{path}?task={task}&force=true"
    for headers in (shared.bearer, shared.session, shared.bearer | {"Sec-Fetch-Site": "cross-site"}):
        body = b"" if method == "POST" else None
        assert fetch(url, method, body, headers).status in (400, 401, 403, 404)
    assert shared.task(task)["id"] == task


@pytest.mark.parametrize(
    "path", [*READINGS, "/tasks/", "/static//page.js", "/files/%2e%2e/server.db", "/a\\b"]
)
def test_paths_with_two_readings_are_refused(shared: Embedded, path: str) -> None:
    for server in (shared.api, shared.files):
        assert fetch(server + path, headers=shared.bearer).status in (400, 404)


def test_links_end_with_their_server(server: Embedded) -> None:
    """The list of links ends with the process: what was used before must not open anything after."""
    used, unused = open_link(server)[0], server.call("auth.link").data["token"]
    server.stop()
    server.start()
    for token in (used.partition("=")[2], unused):
        assert fetch(f"{server.api}/login?token={token}").status == 401
    assert open_link(server)[1].status == 303


def test_links_and_tokens_are_not_interchangeable(shared: Embedded) -> None:
    link = shared.call("auth.link").data["token"]
    assert fetch(f"{shared.api}/tasks.get_all", headers={"Authorization": f"Bearer {link}"}).error == (
        401,
        30,
    )
    assert fetch(f"{shared.api}/login?token={shared.token}").status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8008", ""]
)
@pytest.mark.parametrize("path", ["/", "/auth.login", "/static/style.css"])
def test_a_rebound_name_gets_nothing(shared: Embedded, host: str, path: str) -> None:
    answer = fetch(shared.api + path, headers={**shared.bearer, "Host": host})
    assert answer.status == 403
    assert fetch(f"{shared.files}/a", headers={**shared.bearer, "Host": host}).status == 403


def test_localhost_and_addresses_are_accepted(shared: Embedded) -> None:
    port = shared.api.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", f"[::1]:{port}", "192.168.1.7:8008"):
        assert fetch(f"{shared.api}/tasks.get_all", headers={**shared.bearer, "Host": host}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_pages_of_other_origins_can_do_nothing(shared: Embedded, origin: str) -> None:
    headers = {**shared.bearer, "Origin": origin}
    assert fetch(f"{shared.api}/projects.create", "POST", b'{"name":"x"}', headers).status == 403
    assert fetch(f"{shared.files}/", "POST", b"x", headers).status == 403
    assert fetch(f"{shared.files}/a", "DELETE", None, headers).status == 403
    assert shared.call("projects.get_all", name="^x$").data["projects"] == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_links_and_images_of_other_sites_are_refused(shared: Embedded, site: str) -> None:
    """A state-changing call is a GET here, and so one that an <img> could make: the browser says who asks."""
    task = shared.new_task()
    headers = {**shared.bearer, "Sec-Fetch-Site": site}
    assert fetch(f"{shared.api}/tasks.delete?task={task}&force=true", headers=headers).status == 403
    assert shared.task(task)["id"] == task


def test_our_own_page_may_call(shared: Embedded) -> None:
    headers = {**shared.bearer, "Origin": shared.api, "Sec-Fetch-Site": "same-origin"}
    assert fetch(f"{shared.api}/tasks.get_all", "POST", b"{}", headers).status == 200


def test_an_allowed_host_name_is_accepted(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("named") / "data", "--allow-host", "Trainer.lan") as server:
        assert (
            fetch(f"{server.api}/tasks.get_all", headers={**server.bearer, "Host": "trainer.lan:80"}).status
            == 200
        )


def test_the_public_host_name_is_accepted_and_announced(tmp_path: Path) -> None:
    """It listens on 127.0.0.1, so the name localhost reaches it, and stands in all that it tells."""
    with running(tmp_path / "data", "--public-host", "localhost") as server:
        assert server.api.startswith("http://localhost:")
        assert server.files.startswith("http://localhost:")


def test_the_page_has_the_host_name_that_is_asked_for(tmp_path: Path) -> None:
    """For a browser that cannot resolve names below localhost."""
    with running(tmp_path / "data", "--page-host", "127.0.0.1") as server:
        assert server.web == server.api
        link, answer = open_link(server)
        assert link.startswith(server.api)
        assert (answer.status, answer.headers["Location"]) == (303, "/")


def test_a_client_is_configured_by_the_servers_own_file(tmp_path: Path) -> None:
    program = "from clearml.backend_api import Session; print(Session().token)"
    with running(tmp_path / "data") as server:
        settings = {"CLEARML_CONFIG_FILE": str(server.data / "clearml.conf")}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CLEARML_")}
        done = subprocess.run(
            [sys.executable, "-c", program], env=clean | settings, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        token = done.stdout.split()[-1]
        assert (
            fetch(f"{server.api}/tasks.get_all", headers={"Authorization": f"Bearer {token}"}).status == 200
        )


def test_secrets_stay_with_the_owner(shared: Embedded) -> None:
    assert oct(shared.data.stat().st_mode & 0o777) == "0o700"
    for path in shared.data.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    keys = json.loads((shared.data / "credentials.json").read_text())
    assert keys.keys() == {"access_key", "secret_key"}
    assert shared.secret_key not in shared.log.read_text()


def test_tokens_without_an_expiry_or_of_another_algorithm_are_refused(tmp_path: Path) -> None:
    credentials = Credentials.of(tmp_path)
    key = bytes.fromhex((tmp_path / "signing.key").read_text())
    payload = jwt.decode(credentials.token(), key, algorithms=["HS256"])
    credentials.authenticate(f"Bearer {jwt.encode(payload, key, 'HS256')}")
    endless = {name: value for name, value in payload.items() if name != "exp"}
    future = payload | {"iat": payload["iat"] + 3600}
    for token in (
        jwt.encode(endless, key, "HS256"),
        jwt.encode(future, key, "HS256"),
        jwt.encode(payload, None, "none"),
        jwt.encode(payload, key * 2, "HS512"),
    ):
        with pytest.raises(InvalidToken):
            credentials.authenticate(f"Bearer {token}")
