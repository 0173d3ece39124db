"""Headers that no client would send to the file server: always an answer, nothing outside its folder."""

import contextlib
import socket
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.embedded import Embedded
from support.uploads import CONTENT, everything, get, upload

quiet = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def speak(
    server: Embedded,
    method: str,
    path: str,
    headers: list[tuple[str, bytes]],
    body: bytes = b"",
    patience: float = 10,
) -> bytes:
    """The whole answer to a request written byte by byte: a client library would refuse to send it."""
    host = urlsplit(server.files)
    own = f"Host: {host.netloc}\r\nAuthorization: Bearer {server.token}\r\n"
    head = f"{method} {path} HTTP/1.1\r\n{own}".encode()
    head += b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers)
    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        head += b"Content-Length: %d\r\n" % len(body)
    with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
        connection.sendall(head + b"\r\n" + body)
        connection.settimeout(patience)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while received := connection.recv(65536):
                answer += received
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture(scope="module")
def stored(shared: Embedded) -> str:
    upload(shared, "headers/a.bin")
    return "/headers/a.bin"


NUMBERS = st.sampled_from(["", "0", "1", "9", "10239", "10240", "99999999999999999999", "-1", "x", " 1", "٣"])
RANGE = st.builds("{}-{}".format, NUMBERS, NUMBERS)
RANGES = st.builds(
    "{}{}".format,
    st.sampled_from(["bytes=", "bytes", "Bytes = ", "items=", "", "bytes=bytes="]),
    st.lists(RANGE | st.text("0123456789-, =", max_size=8), max_size=6).map(",".join),
)


@quiet
@given(RANGES, st.sampled_from(["GET", "HEAD"]), st.none() | st.sampled_from(['"x"', "Mon", "", "*"]))
@example("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2000, 2)), "GET", None)
@example("bytes=" + "0-," * 5000 + "0-", "GET", None)
def test_any_range_is_answered(
    shared: Embedded, stored: str, ranges: str, method: str, condition: str | None
) -> None:
    headers = [("Range", ranges.encode())] + ([("If-Range", condition.encode())] if condition else [])
    answer = speak(shared, method, stored, headers)
    assert status(answer) in (200, 206, 400, 416), answer[:300]
    assert len(answer) < 20 * len(CONTENT) + 2000


def part(disposition: str, content: str = "x") -> bytes:
    text = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n{content}\r\n"
    return text.encode("utf-8", "surrogatepass")


MARKS = ["=", ";", '"', "\\", '\\"', "\x00", "\r", "\n", "\r\n", " ", "\t", "é", "\u202e"]
NAMES = ["form-data", "attachment", "name", "name*", "filename", "filename*0*"]
PATHS = ["../x", "/etc/x", "a/b", "..", "utf-8''%2e%2e%2fx", "%2e%2e/x", "C:\\x"]
WORDS = st.sampled_from([*MARKS, *NAMES, *PATHS])
DISPOSITION = st.lists(WORDS, max_size=8).map("".join) | WORDS.map('form-data; name="{}"'.format)


@quiet
@given(
    st.lists(DISPOSITION, min_size=1, max_size=3),
    st.sampled_from(["b", '"b"', "b; boundary=c", "", "b" * 300, "é", '"', "b\x00"]),
    st.sampled_from([b"--b--\r\n", b"--b--", b"--b", b"", b"--b--\r\n--b\r\n\r\n"]),
)
def test_any_part_is_stored_inside_or_refused(
    shared: Embedded, dispositions: list[str], boundary: str, end: bytes
) -> None:
    before = outside(shared)
    body = b"".join(part(text) for text in dispositions) + end
    kind = b"multipart/form-data; boundary=" + boundary.encode()
    answer = speak(shared, "POST", "/", [("Content-Type", kind)], body)
    assert status(answer) in (200, 400, 409), answer[:300]
    assert outside(shared) == before


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Content-Length", b"10"), ("Transfer-Encoding", b"chunked")], b"0\r\n\r\n"),
        ([("Content-Length", b"5"), ("Content-Length", b"6")], b"xxxxxx"),
        ([("Content-Length", b"-1")], b""),
        ([("Content-Length", b"99999999999999999999")], b"x"),
        ([("Transfer-Encoding", b"chunked")], b"zz\r\n"),
        ([("Transfer-Encoding", b"gzip, chunked")], b"0\r\n\r\n"),
        ([("X", b"y" * 100_000)], b""),
        ([("Expect", b"100-continue")], b"x"),
    ],
)
def test_lengths_that_disagree_are_no_second_request(
    shared: Embedded, headers: list[tuple[str, bytes]], body: bytes
) -> None:
    """Refused, or cut off: above all, what follows is never taken for another request."""
    smuggled = b"GET /headers/a.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    kind = ("Content-Type", b"multipart/form-data; boundary=b")
    answer = speak(shared, "POST", "/", [kind, *headers], body + smuggled, patience=1)
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert status(answer) in (0, 400, 413, 431, 501), answer[:300]
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("name", ['quo"te.html', "semi;colon=1.bin", "ünï.png", "a b,c"])
def test_a_name_cannot_write_headers(shared: Embedded, name: str) -> None:
    (shared.data / "files" / name).write_bytes(CONTENT)
    answer = speak(shared, "GET", f"/{quote(name)}", [])
    head = answer.split(b"\r\n\r\n")[0]
    assert status(answer) == 200
    disposition = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition:")]
    assert len(disposition) == 1
    assert disposition[0].startswith(b"content-disposition: inline")
    assert b"\n" not in disposition[0]
    assert get(shared, name).body == CONTENT


@pytest.mark.parametrize("name", ["tab\there", "delete\x7f", "null\0"])
def test_a_name_with_control_characters_is_refused(shared: Embedded, name: str) -> None:
    answer = upload(shared, f"names/{name}")
    assert (answer.status, "Invalid path" in answer.json["meta"]["result_msg"]) == (400, True)
    assert get(shared, f"names/{name}").status == 400


def outside(server: Embedded) -> list[str]:
    """Every file near the server but for those it may write."""
    inside = server.data / "files"
    return [path for path in everything(server.data.parent) if not Path(path).is_relative_to(inside)]
