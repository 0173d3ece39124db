"""A stand-in for the Hugging Face Hub on loopback: the calls by which the client pushes a model.

Text is part of the commit's request, as on the Hub; graphs, weights and figures go through the LFS protocol:
batch, upload, verification, and a pointer in the commit. Xet, which the client prefers, is not spoken here.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TOKEN = "hf_a-token-that-may-write"
LARGE = (".onnx", ".safetensors", ".png")


@dataclass
class Hub:
    """What was pushed.

    Attributes:
        address: of the stand-in.
        refusal: the status of each answer, in place of success.
        asked: method and path of each request.
        created: bodies of the calls that create a repository.
        files: content of the repository, by path.
        uploaded: objects of the LFS storage by their SHA-256.
        verified: SHA-256 of those that the client verified.
        messages: of the commits.
    """

    address: str = ""
    refusal: int = 0
    asked: list[str] = field(default_factory=list)
    created: list[dict] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)


@contextmanager
def hub_on_loopback():
    """Serve a `Hub` while the block runs."""
    hub = Hub()

    class Handler(_Handler):
        held = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    held: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._take("GET")

    def do_POST(self):
        self._take("POST")

    def do_PUT(self):
        self._take("PUT")

    def _take(self, method):
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.held.asked.append(f"{method} {path}")
        if self.held.refusal or (method != "PUT" and self.headers["Authorization"] != f"Bearer {TOKEN}"):
            self._answer(self.held.refusal or 401, {"error": "You may not write here."})
            return
        for pattern, answer in ROUTES:
            if found := re.fullmatch(pattern, f"{method} {path}"):
                self._answer(200, answer(self.held, body, *found.groups()))
                return
        self._answer(404, {"error": f"no call {method} {path}"})

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(text)


def _create(hub, body):
    hub.created.append(json.loads(body))
    wanted = hub.created[-1]
    name = f"{wanted['organization']}/{wanted['name']}"
    return {"url": f"{hub.address}/{name}", "name": name, "id": name}


def _card(hub, body):
    assert json.loads(body)["content"].startswith("---\n")
    return {"errors": [], "warnings": []}


def _tree(hub, body, repo):
    return [
        {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        for path, content in hub.files.items()
    ]


def _repository(hub, body, repo):
    return {"id": repo, "sha": "1" * 40, "siblings": [{"rfilename": path} for path in hub.files]}


def _modes(hub, body, repo):
    def mode(path):
        return "lfs" if path.endswith(LARGE) else "regular"

    files = [file["path"] for file in json.loads(body)["files"]]
    return {"files": [{"path": path, "uploadMode": mode(path), "shouldIgnore": False} for path in files]}


def _batch(hub, body, repo):
    def actions(digest):
        return {
            "upload": {"href": f"{hub.address}/storage/{digest}"},
            "verify": {"href": f"{hub.address}/{repo}.git/info/lfs/objects/verify"},
        }

    objects = json.loads(body)["objects"]
    wanted = [each | {"actions": actions(each["oid"])} for each in objects if each["oid"] not in hub.uploaded]
    stored = [each for each in objects if each["oid"] in hub.uploaded]
    return {"transfer": "basic", "objects": wanted + stored}


def _store(hub, body, digest):
    assert hashlib.sha256(body).hexdigest() == digest
    hub.uploaded[digest] = body
    return {}


def _verify(hub, body, repo):
    hub.verified.add(json.loads(body)["oid"])
    return {}


def _commit(hub, body, repo):
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        match line["key"]:
            case "header":
                hub.messages.append(value["summary"])
            case "file":
                hub.files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                hub.files[value["path"]] = hub.uploaded[value["oid"]]
            case "deletedFile":
                del hub.files[value["path"]]
    return {"success": True, "commitUrl": f"{hub.address}/{repo}/commit/{'2' * 40}", "commitOid": "2" * 40}


REPO = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (r"POST /api/repos/create", _create),
    (r"POST /api/validate-yaml", _card),
    (rf"GET /api/models/{REPO}/tree/main", _tree),
    (rf"GET /api/models/{REPO}(?:/revision/main)?", _repository),
    (rf"POST /api/models/{REPO}/preupload/main", _modes),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", _batch),
    (rf"POST /{REPO}\.git/info/lfs/objects/verify", _verify),
    (r"PUT /storage/(\w+)", _store),
    (rf"POST /api/models/{REPO}/commit/main", _commit),
)
