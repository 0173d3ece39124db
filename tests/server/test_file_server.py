"""Uploads and downloads: what the SDK sends and gets, ranges, and paths that lead out."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.embedded import Embedded, fetch
from support.uploads import CONTENT, everything, get, upload


def test_there_and_back(shared: Embedded) -> None:
    path = "My project/.pipelines/p/train.0123/artifacts/état/model.bin"
    assert upload(shared, path).json == [path]
    answer = get(shared, path)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    head = get(shared, path, "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))
    assert get(shared, path, "DELETE").status == 200
    assert get(shared, path).status == 404
    assert get(shared, path, "DELETE").status == 404
    assert not (shared.data / "files" / "My project").exists()


def test_a_second_upload_replaces_the_first(shared: Embedded) -> None:
    upload(shared, "again/a.txt", b"one")
    upload(shared, "again/a.txt", b"two")
    assert get(shared, "again/a.txt").body == b"two"


RANGES = [
    ("bytes=0-9", 206, CONTENT[:10]),
    ("bytes=100-", 206, CONTENT[100:]),
    ("bytes=-5", 206, CONTENT[-5:]),
    (f"bytes={len(CONTENT)}-", 416, None),
]


@pytest.mark.parametrize(("asked", "status", "body"), RANGES)
def test_ranges(shared: Embedded, asked: str, status: int, body: bytes | None) -> None:
    upload(shared, "ranges/a.bin")
    answer = get(shared, "ranges/a.bin", Range=asked)
    assert answer.status == status
    if body is not None:
        assert answer.body == body
        assert answer.headers["Content-Range"].endswith(f"/{len(CONTENT)}")


def test_pages_run_no_scripts_and_nothing_is_guessed(shared: Embedded) -> None:
    upload(shared, "pages/a.html", b"<script>alert(1)</script>")
    answer = get(shared, "pages/a.html")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


BAD_PATHS = [
    "../evil",
    "a/../../evil",
    "/etc/passwd/../x",
    "a//b",
    "a/./b",
    "",
    ".",
    "..",
    "a/\\..\\b",
    "a" * 300,
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_out_of_the_root_are_refused(shared: Embedded, path: str) -> None:
    before = everything(shared.data.parent)
    assert upload(shared, path).status == 400
    assert everything(shared.data.parent) == before


@pytest.mark.parametrize(
    "path", ["/../server.db", "/%2e%2e/server.db", "/a/..%2f..%2fserver.db", "//etc/passwd", "/a%00b"]
)
def test_nothing_else_can_be_read(shared: Embedded, path: str) -> None:
    """As raw bytes on the socket: a client library would tidy the path up."""
    host = urlsplit(shared.files)
    request = f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\nAuthorization: Bearer {shared.token}\r\n\r\n"
    with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ", 2)[1] in (b"400", b"404"), answer[:200]
    assert b"SQLite" not in answer


def test_symbolic_links_are_not_followed(shared: Embedded) -> None:
    files = shared.data / "files"
    (files / "links").mkdir()
    (files / "links" / "out").symlink_to(shared.data)
    (files / "links" / "key").symlink_to(shared.data / "credentials.json")
    for path in ("links/out/credentials.json", "links/key"):
        assert get(shared, path).status == 400
        assert upload(shared, path).status == 400
    assert shared.secret_key in (shared.data / "credentials.json").read_text()


def test_a_file_cannot_serve_as_a_folder(shared: Embedded) -> None:
    upload(shared, "kind/file")
    assert upload(shared, "kind/file/inside").status == 409
    assert upload(shared, "kind").status == 409
    assert get(shared, "kind").status == 404
    assert get(shared, "kind/file/inside").status == 404


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"garbage"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="cut/a"\r\n\r\nhalf',
        ),
    ],
)
def test_half_an_upload_leaves_nothing(shared: Embedded, content_type: str, body: bytes) -> None:
    before = everything(shared.data)
    answer = fetch(shared.files + "/", "POST", body, {**shared.bearer, "Content-Type": content_type})
    assert answer.status == 400
    assert everything(shared.data) == before


def test_a_large_file_needs_little_memory(server: Embedded, tmp_path: Path) -> None:
    import psutil

    def memory() -> int:
        used: int = psutil.Process(server.process.pid).memory_info().rss
        return used

    before = memory()
    content = os.urandom(2**20) * 96
    assert upload(server, "large.bin", content).status == 200
    assert memory() - before < 32 * 2**20
    assert get(server, "large.bin", Range="bytes=100000000-100000009").body == content[100000000:100000010]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ab./\\\x00\x01 é\u202e%", max_size=12), st.sampled_from(["GET", "DELETE"]))
def test_no_path_breaks_the_server(shared: Embedded, path: str, method: str) -> None:
    assert get(shared, path, method).status in (200, 400, 403, 404)
