"""Limits of time and size: no client can use the server up by stalling or by sending too much."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from support.embedded import Embedded, fetch, running, wait_for
from support.uploads import upload

MEGABYTE = 2**20
PART = b'--b\r\nContent-Disposition: form-data; name="limits/a.bin"\r\n\r\n'


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server that waits for its clients no longer than a second."""
    with running(tmp_path_factory.mktemp("impatient") / "data", "--patience", "1") as started:
        yield started


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=60)


def request(server: Embedded, method: str, path: str, *headers: str) -> bytes:
    own = ("Host: 127.0.0.1", f"Authorization: Bearer {server.token}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *own, *headers, "", ""]).encode()


def multipart(server: Embedded, length: int) -> bytes:
    kind = "Content-Type: multipart/form-data; boundary=b"
    return request(server, "POST", "/", kind, f"Content-Length: {length}")


def received(connection: socket.socket) -> bytes:
    """Everything until the server ends the connection; a server that never does fails by a timeout."""
    answer = b""
    try:
        while data := connection.recv(65536):
            answer += data
    except ConnectionError:
        pass
    return answer


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET /tasks.get_all HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_a_connection_without_a_request_ends(impatient: Embedded, start: bytes) -> None:
    for address in (impatient.api, impatient.files):
        with connect(address) as connection:
            connection.sendall(start)
            assert received(connection) == b""


def test_a_request_that_trickles_in_ends(impatient: Embedded) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(600):
            connection.sendall(b"x")
            time.sleep(0.1)

    with connect(impatient.api) as connection, pytest.raises(ConnectionError):
        trickle(connection)


def test_a_stalled_body_ends(impatient: Embedded) -> None:
    with connect(impatient.api) as connection:
        connection.sendall(request(impatient, "POST", "/tasks.get_all", "Content-Length: 100") + b"{")
        assert received(connection) == b""
    assert "Traceback" not in impatient.log.read_text()


def test_a_stalled_upload_ends_and_leaves_nothing(impatient: Embedded) -> None:
    with connect(impatient.files) as connection:
        connection.sendall(multipart(impatient, 10 * MEGABYTE) + PART + b"x" * MEGABYTE)
        assert received(connection) == b""
    wait_for(lambda: not list((impatient.data / "uploads").iterdir()), "the draft's end")
    assert not (impatient.data / "files" / "limits").exists()
    assert "Traceback" not in impatient.log.read_text()


def test_a_slow_upload_that_moves_on_succeeds(impatient: Embedded) -> None:
    body = PART + b"x" * 40_000 + b"\r\n--b--\r\n"
    with connect(impatient.files) as connection:
        connection.sendall(multipart(impatient, len(body)))
        for start in range(0, len(body), 4096):
            time.sleep(0.3)
            connection.sendall(body[start : start + 4096])
        assert received(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_takes_no_response_loses_it(impatient: Embedded) -> None:
    upload(impatient, "limits/large.bin", b"x" * 30 * MEGABYTE)
    process = psutil.Process(impatient.process.pid)

    def clients() -> int:
        return sum(c.status == psutil.CONN_ESTABLISHED for c in process.net_connections("tcp"))

    with connect(impatient.files) as connection:
        connection.sendall(request(impatient, "GET", "/limits/large.bin"))
        assert connection.recv(1) == b"H"
        assert clients() == 1
        wait_for(lambda: clients() == 0, "the end of the connection")
    assert "Traceback" not in impatient.log.read_text()


def peak(server: Embedded) -> int:
    """The most memory that the server has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


CALLS = {
    "a call": ("/projects.create", b'{"name": "', "application/json"),
    "a batch": ("/events.add_batch", b'{"msg": "', "application/json-lines"),
    "a form": ("/actions/delete", b"task=", "application/x-www-form-urlencoded"),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_large_body_is_refused_unread(shared: Embedded, kind: str) -> None:
    """The answer comes before the body; and a client that sends it all the same still sees the answer."""
    path, start, content = CALLS[kind]
    body = start + b"x" * 60 * MEGABYTE
    before = peak(shared)
    headers = {**shared.bearer, "Content-Type": content}
    assert fetch(shared.api + path, "POST", body, headers).status == 413
    with connect(shared.api) as connection:
        connection.sendall(request(shared, "POST", path, f"Content-Length: {len(body)}"))
        assert connection.recv(12) == b"HTTP/1.1 413"
    assert peak(shared) - before < 16 * MEGABYTE


@pytest.mark.parametrize("kind", CALLS)
def test_a_large_body_of_unknown_length_is_refused(shared: Embedded, kind: str) -> None:
    path = CALLS[kind][0]
    before = peak(shared)
    with connect(shared.api) as connection:
        connection.sendall(request(shared, "POST", path, "Transfer-Encoding: chunked"))
        for _ in range(60):
            connection.sendall(b"%x\r\n" % MEGABYTE + b"x" * MEGABYTE + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 413")
    assert peak(shared) - before < 80 * MEGABYTE


def test_a_client_that_leaves_is_no_error(shared: Embedded) -> None:
    for path in ("/projects.create", "/actions/delete"):
        with connect(shared.api) as connection:
            connection.sendall(request(shared, "POST", path, "Content-Length: 100") + b"{")
    assert shared.new_task()
    assert "Traceback" not in shared.log.read_text()
