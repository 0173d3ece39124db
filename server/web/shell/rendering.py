"""Rendering: templates, in which every variable is escaped, and the headers of an HTML answer."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.guard import host_name
from server.web.shell import text
from server.web.shell.section import Shown

# plotly.js makes an empty <style> and fills it rule by rule: this is the hash of the empty text.
EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
NO_STORE = {"cache-control": "no-store"}
BLANK: dict[str, Any] = {"form_token": "", "here": "", "query": {}, "done": None}


class Renderer:
    """Turns templates and values into HTML answers."""

    def __init__(self, folder: Path, navigation: Sequence[tuple[str, str]], files_origin: str) -> None:
        """Read templates from `folder`; pages may show media from the file server at `files_origin`."""
        self._files_origin = files_origin
        self._environment = Environment(
            loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.policies["truncate.leeway"] = 0
        self._environment.filters |= {
            "moment": text.moment,
            "epoch": text.epoch,
            "size": text.size,
            "number": text.number,
            "score": text.score,
            "span": text.span,
            "link": text.link,
        }
        self._environment.globals |= {
            "navigation": navigation,
            "task_path": text.task_path,
            "seconds": text.seconds,
        }
        # A global, because a block that is rendered alone does not see the imports of its template.
        self._environment.globals["macros"] = self._environment.get_template("macros.html").module

    def show(self, request: Request, shown: Shown, **values: Any) -> Response:
        """Return the page, or only its live part if the query asks for a fragment; 304 if unchanged."""
        template = self._environment.get_template(shown.template)
        context = BLANK | shown.values | values | {"here": request.url.path, "query": request.query_params}
        if "fragment" in request.query_params:
            block = template.blocks.get("live")
            html = "".join(block(template.new_context(context))) if block else ""
        else:
            html = template.render(context)
        tag = f'"{hashlib.sha256(html.encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag, **NO_STORE})
        return self._answer(request, html, 200, {"etag": tag})

    def message(self, request: Request, title: str, status: int, detail: str = "") -> Response:
        """Return a page that only says something."""
        return self._plain(request, "message.html", status, title=title, detail=detail)

    def login(self, request: Request, title: str = "Please open the page with its link") -> Response:
        """Return the page that tells a visitor without a session how to log in."""
        return self._plain(request, "login.html", 401, title=title)

    def _plain(self, request: Request, template: str, status: int, **values: Any) -> Response:
        html = self._environment.get_template(template).render(BLANK | values)
        return self._answer(request, html, status, {})

    def _answer(self, request: Request, html: str, status: int, headers: dict[str, str]) -> Response:
        policy = content_policy(self._files_origin, request.headers.get("host", ""))
        return HTMLResponse(html, status, {"content-security-policy": policy, **NO_STORE, **headers})


def content_policy(files_origin: str, host: str) -> str:
    """Return the content security policy: our own script and style, and media of our file server.

    Args:
        files_origin: The file server's public address.
        host: The request's host, which the guard has checked: the file server is reachable under it, too.
    """
    name = host_name(host)
    literal = f"[{name}]" if ":" in name else name
    files = " ".join(dict.fromkeys((files_origin, f"http://{literal}:{urlsplit(files_origin).port}")))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' {EMPTY_STYLE};"
        f" img-src 'self' data: blob: {files}; media-src {files};"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
