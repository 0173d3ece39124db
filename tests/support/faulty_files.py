"""A proxy before the file server that refuses, forgets or hides chosen files, as full disks and people do."""

import http.client
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.embedded import Embedded

FULL = b'{"meta": {"result_code": 507, "result_msg": "No space is left on the server for the file"}}'


class FaultyFiles:
    """An embedded server whose file server is reached through the proxy.

    The file `faults` holds patterns of paths as JSON, by what happens to them: uploads are `refused` with
    507, or `forgotten` though answered with 200; reads answer 404 if the file is `gone`, 503 if it is `busy`;
    `headless` files answer HEAD with 405.
    """

    def __init__(self, server: Embedded, files: str, faults: Path) -> None:
        self.server, self.files, self.faults = server, files, faults

    def environment(self, home: Path) -> dict[str, str]:
        return self.server.environment(home) | {"CLEARML_FILES_HOST": self.files}


def set_faults(file: str | Path, **patterns: str) -> None:
    Path(file).write_text(json.dumps(patterns))


@contextmanager
def faulty_files(server: Embedded, faults: Path) -> Iterator[FaultyFiles]:
    set_faults(faults)
    target = urlsplit(server.files).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = _fault(faults, self.path, "gone", "busy")
            if kind:
                self._answer(404 if kind == "gone" else 503, b"")
            else:
                self._forward()

        def do_HEAD(self) -> None:
            if _fault(faults, self.path, "headless"):
                self._answer(405, b"")
            else:
                self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = re.search(rb'name="([^"]*)"', body)
            assert name is not None
            kind = _fault(faults, name[1].decode(), "refused", "forgotten")
            if kind:
                self._answer(507 if kind == "refused" else 200, FULL if kind == "refused" else b"[]")
            else:
                self._forward(body)

        def _forward(self, body: bytes | None = None) -> None:
            connection = http.client.HTTPConnection(target, timeout=600)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, answer.read(), dict(answer.getheaders()))
            connection.close()

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {"Content-Length": str(len(body))}).items():
                if name.lower() not in ("connection", "transfer-encoding", "server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield FaultyFiles(server, f"http://127.0.0.1:{proxy.server_address[1]}", faults)
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def _fault(faults: Path, path: str, *kinds: str) -> str:
    patterns = json.loads(faults.read_text())
    return next((kind for kind in kinds if kind in patterns and re.search(patterns[kind], path)), "")
