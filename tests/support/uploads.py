"""Uploads to the embedded file server, and what lies in its folder."""

import uuid
from pathlib import Path
from urllib.parse import quote

from support.embedded import Answer, Embedded, fetch

CONTENT = bytes(range(256)) * 40


def upload(server: Embedded, path: str, content: bytes = CONTENT) -> Answer:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{path}"; filename="{path}"\r\n\r\n'
    body = head.encode("utf-8", "surrogateescape") + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {**server.bearer, "Content-Type": f"multipart/form-data; boundary={boundary}"}
    return fetch(server.files + "/", "POST", body, headers)


def get(server: Embedded, path: str, method: str = "GET", **headers: str) -> Answer:
    return fetch(f"{server.files}/{quote(path)}", method, None, {**server.bearer, **headers})


def everything(folder: Path) -> list[str]:
    """The files below, less the database's own."""
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and "server.db" not in path.name)
