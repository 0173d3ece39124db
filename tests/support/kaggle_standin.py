"""A stand-in for Kaggle on loopback, reached by Kaggle's real names through a proxy that it is itself.

Kaggle's client knows no setting for its host, but every HTTP client knows `HTTPS_PROXY` and a file of
certificates. So the package that is tested runs as it is: it speaks TLS to `api.kaggle.com`, and follows
the redirect to the storage, which asks for no account but for a signature in the address.
"""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import re
import ssl
import threading
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import trustme

USER, KEY, TOKEN = "someone", "a-key", "KGAT_a-token"
HOSTS = ("api.kaggle.com", "storage.googleapis.com")
SIGNATURE = "X-Goog-Signature=not-for-consoles"


@dataclass
class Kaggle:
    """What the stand-in holds, how it misbehaves, and what it was asked.

    Attributes:
        answers: statuses that the API answers next, in turn, each with its headers.
        storage_answers: the same for the storage.
        cuts: bytes after which the next bodies of the storage break off, in turn; None: not at all. A
            download that is resumed asks twice: for the headers, and then for the missing bytes.
        promised: the size that the headers state, where it is not the true one.
        answering: the API answers nothing until this is set; it is set by `kaggle_on_loopback`.
        ranges: whether parts can be asked for.
        hashes: `x-goog-hash` names `md5` and `crc32c` of the content, or others, or none.
        asked: `(host, path, headers)` of each request.
    """

    content: bytes = b""
    version: int = 1
    datasets: tuple[str, ...] = ("owner/chips",)
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    storage_answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    promised: int | None = None
    ranges: bool = True
    wrong_range: bool = False
    etag: str = '"one"'
    hashes: str | None = None
    answering: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    def ranges_asked(self) -> list[str]:
        """The `Range` of each request to the storage that had one."""
        return [
            headers["Range"] for host, _, headers in self.asked if host == HOSTS[1] and "Range" in headers
        ]

    def downloads(self) -> int:
        """How often the storage was asked for content."""
        return sum(host == HOSTS[1] for host, _, _ in self.asked)

    def signed_hash(self) -> str:
        """`x-goog-hash` as the storage has it."""
        if self.hashes is not None:
            return self.hashes
        md5 = base64.b64encode(hashlib.md5(self.content).digest()).decode()
        crc = google_crc32c.Checksum(self.content).digest()
        return f"crc32c={base64.b64encode(crc).decode()},md5={md5}"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of the members, in their order."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@contextmanager
def kaggle_on_loopback(folder: Path):
    """Run the stand-in; hand out its `Kaggle` and the environment by which clients come to it."""
    authority = trustme.CA()
    certificates = folder / "certificates.pem"
    authority.cert_pem.write_to_path(str(certificates))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(context)
    kaggle = Kaggle()
    kaggle.answering.set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.kaggle, server.context = kaggle, context
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    (folder / "home").mkdir(exist_ok=True)
    environment = {
        "HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
        "REQUESTS_CA_BUNDLE": str(certificates),
        "NO_PROXY": "127.0.0.1,localhost",
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "home" / ".config"),
    }
    try:
        yield kaggle, environment
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    """First the proxy, then, within the tunnel, the host that was asked for."""

    protocol_version = "HTTP/1.1"
    host = ""

    @property
    def kaggle(self) -> Kaggle:
        return self.server.kaggle

    def log_message(self, *arguments):
        """Keep quiet."""

    def do_CONNECT(self):
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def finish(self):
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self._note()
        self.kaggle.answering.wait(30)
        call = self.path.rpartition("/")[2]
        if self.kaggle.answers:
            status, headers = self.kaggle.answers.pop(0)
            self._json({"code": status, "message": f"Kaggle says {status}"}, status, headers)
        elif call == "IntrospectToken":
            self._json({"active": body["token"] == TOKEN, "username": USER})
        elif not self._is_known():
            self._json({"code": 401, "message": "Unauthenticated"}, 401)
        elif f"{body['ownerSlug']}/{body['datasetSlug']}" not in self.kaggle.datasets:
            self._json({"code": 404, "message": "Dataset not found"}, 404)
        elif call == "GetDataset":
            version = {"currentVersionNumber": self.kaggle.version, "lastUpdated": "2020-01-01T00:00:00.000Z"}
            self._json(version | {"ref": "owner/chips", "totalBytes": len(self.kaggle.content)})
        else:
            assert call == "DownloadDataset"
            self.send_response(302)
            self.send_header("Location", f"https://{HOSTS[1]}/bundle/archive.zip?{SIGNATURE}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self):
        self._note()
        kaggle, whole = self.kaggle, self.kaggle.content
        assert SIGNATURE in self.path
        if kaggle.storage_answers:
            status, headers = kaggle.storage_answers.pop(0)
            self._json({}, status, headers)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", kaggle.etag) == kaggle.etag
        start = int(asked[1]) if asked and same and kaggle.ranges else 0
        if asked and start >= len(whole):
            self._json({}, 416)
            return
        self.send_response(206 if start else 200)
        size = len(whole) if kaggle.promised is None else kaggle.promised
        first = start + 1 if kaggle.wrong_range and start else start
        if start:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - first))
        self.send_header("Content-Type", "application/zip")
        self.send_header("ETag", kaggle.etag)
        self.send_header("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
        if kaggle.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if kaggle.signed_hash():
            self.send_header("x-goog-hash", kaggle.signed_hash())
        self.end_headers()
        self._body(whole[first:size])

    def _body(self, data: bytes):
        """Send the body, or its beginning; the connection then breaks off."""
        if self.kaggle.cuts:
            data = data[: self.kaggle.cuts.pop(0)]
        self.close_connection = True
        # A client that needs only the headers closes the connection.
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _note(self):
        self.kaggle.asked.append((self.host, self.path, dict(self.headers)))

    def _is_known(self) -> bool:
        basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        return self.headers.get("Authorization") in (f"Basic {basic}", f"Bearer {TOKEN}")

    def _json(self, answer: object, status: int = 200, headers: Mapping[str, str] | None = None):
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
