"""The door, which every request passes first: one reading of its path, and no requests of other web sites.

A page of another site can make the user's browser send requests to 127.0.0.1. By DNS rebinding it does so
under its own host name, hence the Host check; by plain cross-site requests it does so with a foreign Origin
or Sec-Fetch-Site, hence those checks. SDK and agents send neither header.
"""

import contextlib
import re
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.addresses import Addresses
from server.dispatch import PATH

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_PAGES = frozenset({"", "same-origin", "none"})
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#@\\\s]+)(?::[0-9]{1,5})?")
UNREADABLE = re.compile(r"[\x00-\x1f\x7f\\]")


class Guard:
    """ASGI middleware that refuses ambiguous paths and other sites' requests, and closes every connection."""

    def __init__(self, app: ASGIApp, addresses: Addresses) -> None:
        """Protect ``app``, which clients reach at ``addresses``."""
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with 400 or 403 or pass it on; every response closes its connection."""
        if scope["type"] != "http":
            return

        complete = False

        async def note_and_receive() -> Message:
            nonlocal complete
            message = await receive()
            complete = not message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            # The SDK forks with its sockets open: on a kept-alive connection, parent and child would read
            # each other's responses.
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["connection"] = "close"
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
            elif not message.get("more_body", False) and not complete:
                # A client that is cut off while sending sees a broken connection instead of the response.
                await send({**message, "more_body": True})
                while (await note_and_receive()).get("more_body", False):
                    pass
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        app = self._refusal(scope, Headers(scope=scope)) or self._app
        with contextlib.suppress(ClientDisconnect):
            await app(scope, note_and_receive, send_and_close)

    def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        host = headers.get("host", "")
        if not self._addresses.accepts_host(host_name(host)):
            text = f"Unknown host {host!r:.100}. Start the server with --allow-host to add a name.\n"
            return PlainTextResponse(text, 403)
        if not has_one_reading(scope["raw_path"]):
            text = "The path must have no empty or dotted segment, backslash, %2F or control character.\n"
            return PlainTextResponse(text, 400)
        origin = headers.get("origin")
        if origin is not None and not self._addresses.accepts_origin(origin, host):
            return PlainTextResponse("Requests from pages of another origin are refused.\n", 403)
        acts = scope["method"] not in SAFE_METHODS or PATH.fullmatch(scope["path"]) is not None
        if acts and headers.get("sec-fetch-site", "") not in OWN_PAGES:
            return PlainTextResponse("Requests from pages of another site are refused.\n", 403)
        return None


def has_one_reading(raw_path: bytes) -> bool:
    """Return True if no program can take the path for another: the checks here must hold for what runs.

    A proxy, a router or a file system may merge slashes, drop a trailing one, resolve dots, or decode twice.
    """
    if raw_path == b"/":
        return True
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    root, *segments = path.split("/")
    encoded_slash = raw_path.count(b"/") != path.count("/")
    plain = root == "" and not any(segment in ("", ".", "..") for segment in segments)
    return plain and not encoded_slash and not UNREADABLE.search(path)


def host_name(host: str) -> str:
    """Return a Host header without its port; empty if it is malformed."""
    match = HOST.fullmatch(host)
    return match[1].strip("[]") if match else ""
