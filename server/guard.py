"""Defence against other web sites, which every request passes first.

A page of another site can make the user's browser send requests to 127.0.0.1. By DNS rebinding it does so
under its own host name, hence the Host check; by plain cross-site requests it does so with a foreign Origin
or Sec-Fetch-Site, hence those checks. SDK and agents send neither header.
"""

from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.dispatch import PATH

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_PAGES = frozenset({"", "same-origin", "none"})


class Guard:
    """ASGI middleware that refuses requests from other sites and closes every connection."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        """Protect ``app``; ``hosts`` are the server's names besides localhost and plain addresses."""
        self._app = app
        self._hosts = hosts | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with 403 or pass it on; every response closes its connection."""
        if scope["type"] != "http":
            return

        async def send_and_close(message: Message) -> None:
            # The SDK forks with its sockets open: on a kept-alive connection, parent and child would read
            # each other's responses.
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["connection"] = "close"
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        app = PlainTextResponse(refusal, 403) if refusal else self._app
        await app(scope, receive, send_and_close)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._is_ours(host_name(host)):
            return f"Unknown host {host!r:.100}. Start the server with --allow-host to add a name.\n"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"{scope['scheme']}://{host}".lower():
            return "Requests from pages of another origin are refused.\n"
        acts = scope["method"] not in SAFE_METHODS or PATH.fullmatch(scope["path"]) is not None
        if acts and headers.get("sec-fetch-site", "") not in OWN_PAGES:
            return "Requests from pages of another site are refused.\n"
        return None

    def _is_ours(self, name: str) -> bool:
        if name.lower() in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True  # DNS rebinding needs a name, so a plain address is safe


def host_name(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
