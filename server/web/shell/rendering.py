"""Rendering: templates, in which every variable is escaped, and the headers of an HTML answer."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.files.tree import Tree
from server.web.shell import text
from server.web.shell.section import Shown

# plotly.js makes an empty <style> and fills it rule by rule: this is the hash of the empty text.
EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
# Our own script and style; media from the page itself, which serves stored files, too, or within a data URL.
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {EMPTY_STYLE}; img-src 'self' data: blob:;"
    " media-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
NO_STORE = {"cache-control": "no-store"}
BLANK: dict[str, Any] = {"form_token": "", "here": "", "query": {}, "done": None}


class Renderer:
    """Turns templates and values into HTML answers."""

    def __init__(self, folder: Path, navigation: Sequence[tuple[str, str]], files: Tree) -> None:
        """Read templates from `folder`; their filter `link` knows the stored `files`."""
        self._environment = Environment(
            loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.policies["truncate.leeway"] = 0
        self._environment.filters |= {
            "moment": text.moment,
            "epoch": text.epoch,
            "size": text.size,
            "number": text.number,
            "span": text.span,
            "link": lambda uri: text.address(files, uri),
        }
        self._environment.globals |= {
            "navigation": navigation,
            "task_path": text.task_path,
            "seconds": text.seconds,
        }
        # A global, because a block that is rendered alone does not see the imports of its template.
        self._environment.globals["macros"] = self._environment.get_template("macros.html").module

    def show(self, request: Request, shown: Shown, **values: Any) -> Response:
        """Return the page, or only the block that the query names as `fragment`; 304 if unchanged."""
        template = self._environment.get_template(shown.template)
        context = (
            BLANK | shown.values | values | {"here": request.scope["path"], "query": request.query_params}
        )
        if "fragment" in request.query_params:
            block = template.blocks.get(request.query_params["fragment"])
            html = "".join(block(template.new_context(context))) if block else ""
        else:
            html = template.render(context)
        # JSON inside a text, such as a plot's, may hold half a surrogate pair.
        html = html.encode("utf-8", "replace").decode()
        tag = f'"{hashlib.sha256(html.encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag, **NO_STORE})
        return self._answer(html, 200, {"etag": tag})

    def message(self, title: str, status: int, detail: str = "") -> Response:
        """Return a page that only says something."""
        return self._plain("message.html", status, title=title, detail=detail)

    def login(self, title: str = "Please open the page with its link") -> Response:
        """Return the page that tells a visitor without a session how to log in."""
        return self._plain("login.html", 401, title=title)

    def _plain(self, template: str, status: int, **values: Any) -> Response:
        html = self._environment.get_template(template).render(BLANK | values)
        return self._answer(html, status, {})

    def _answer(self, html: str, status: int, headers: dict[str, str]) -> Response:
        return HTMLResponse(html, status, {"content-security-policy": POLICY, **NO_STORE, **headers})
