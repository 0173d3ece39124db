"""Routes of the page: every section's addresses, who may see them, and the threads that serve them."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from server.addresses import Addresses
from server.credentials import SESSION_LIFE, Credentials, Unauthorized
from server.database import Database
from server.dispatch import Api
from server.errors import ApiError
from server.files.file_server import download
from server.files.tree import Leftovers, Tree
from server.guard import has_one_reading, host_name
from server.requests import read_body
from server.web import compare, datasets, models, queues
from server.web.runs import pages as runs
from server.web.shell.assets import asset
from server.web.shell.rendering import NO_STORE, Renderer
from server.web.shell.section import DataView, Download, Form, NotThere, PageView, Picture, Section, Visit
from server.web.tasks import actions as task_actions
from server.web.tasks import figures
from server.web.tasks import pages as tasks

# In the order of the main navigation.
SECTIONS = (
    runs.section,
    tasks.section,
    task_actions.section,
    figures.section,
    models.section,
    datasets.section,
    queues.section,
    compare.section,
)
HERE = Path(__file__).resolve().parent
THREADS = 4
MAX_FIELDS = 2000
LARGEST_FORM = 4 * 2**20
LINK_SECONDS = 600
LONGEST_ADDRESS = 2000
# Types that a browser may show from the page's address, none of which it would run as a script of the page.
SHOWN_TYPES = frozenset({"text/plain", "text/html", "text/csv", "application/json"})
KEEP = {"cache-control": "private, max-age=3600", "content-security-policy": "sandbox; default-src 'none'"}

T = TypeVar("T")
log = logging.getLogger("server")


class Pages:
    """The routes of the page. Unauthenticated visitors see how to log in."""

    def __init__(
        self,
        database: Database,
        credentials: Credentials,
        api: Api,
        files: Tree,
        addresses: Addresses,
        sections: tuple[Section, ...] = SECTIONS,
    ) -> None:
        """Serve the sections' pages over `database`; their forms act through `api`.

        Browsers know the page by one of the `addresses`, to which its session is bound.
        """
        self._database = database
        self._credentials = credentials
        self._api = api
        self._files = files
        self._addresses = addresses
        self._leftovers = Leftovers(database, files)
        self._pages = {path: view for section in sections for path, view in section.pages.items()}
        self._data = {path: view for section in sections for path, view in section.data_views.items()}
        self._actions = {name: action for section in sections for name, action in section.actions.items()}
        self._assets = {f"/static/{file.name}": file for file in (HERE / "static").iterdir()}
        navigation = [link for section in sections for link in section.navigation]
        self._renderer = Renderer(HERE / "templates", navigation, files)
        # Threads of its own: a slow page delays no call of the API.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="page")

    @property
    def routes(self) -> list[BaseRoute]:
        """Every address of the page; those of the API are not among them."""
        return [
            Route("/login", self.login, methods=["GET"]),
            Route("/plotly.js", self.asset, methods=["GET"]),
            Route("/static/{name}", self.asset, methods=["GET"]),
            Route("/files/{path:path}", self.file, methods=["GET"]),
            Route("/actions/{action}", self.act, methods=["POST"]),
            *(Route(path, self._page(view), methods=["GET"]) for path, view in self._pages.items()),
            *(Route(path, self._datum(view), methods=["GET"]) for path, view in self._data.items()),
        ]

    def close(self) -> None:
        """Wait for the pages in progress."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def login(self, request: Request) -> Response:
        """Trade a one-time link for a session at the address of the page."""
        token = request.query_params.get("token", "")
        if not self._credentials.redeem(token, keep=not self._is_page(request)):
            return self._renderer.login("This link was used before or has expired")
        if not self._is_page(request):
            return RedirectResponse(f"{self._addresses.page}/login?token={quote(token)}", 303)
        response = RedirectResponse(self._wanted(request), 303)
        response.set_cookie(
            self._addresses.cookie,
            self._credentials.session(),
            max_age=SESSION_LIFE,
            secure=self._is_secure,
            httponly=True,
            samesite="strict",
        )
        if self._wanted_cookie in request.cookies:
            response.delete_cookie(self._wanted_cookie, secure=self._is_secure, httponly=True)
        return response

    async def file(self, request: Request) -> Response:
        """Serve a stored file to the page; scripts and styles among them only as something to download."""
        if self._session(request) is None:
            return self._renderer.login()
        try:
            response = await self._in_thread(lambda: download(self._files, request.path_params["path"]))
        except (ApiError, OSError):
            return self._renderer.message("There is no such file", 404)
        kind = response.headers["content-type"].partition(";")[0]
        if kind.partition("/")[0] not in ("image", "audio", "video") and kind not in SHOWN_TYPES:
            response.headers["content-type"] = "application/octet-stream"
        return response

    async def asset(self, request: Request) -> Response:
        """Serve a script or a style, plotly.js from its package; they are public and need no session."""
        path = request.url.path
        file = plotly_file() if path == "/plotly.js" else self._assets.get(path)
        if file is None:
            return await self.unknown(request)
        return await self._in_thread(lambda: asset(file, request))

    async def unknown(self, request: Request) -> Response:
        """Answer a browser that asks for an unknown address."""
        if self._session(request) is None:
            return self._renderer.login()
        return self._renderer.message("There is no such page", 404, detail=request.scope["path"])

    async def act(self, request: Request) -> Response:
        """Run a form's action through the API and redirect to its result."""
        session = self._session(request)
        if session is None:
            return self._renderer.login()
        try:
            body = await read_body(request, LARGEST_FORM)
            fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return self._renderer.message("This form cannot be read", 400)
        except ApiError as error:
            return self._renderer.message("This form cannot be read", error.code, detail=error.message)
        form = Form(self._api, self._leftovers, fields)
        if not self._credentials.is_form_token(form.value("form_token"), session):
            title = "This form belongs to another session: load the page again"
            return self._renderer.message(title, 403)
        name = request.path_params["action"]
        action = self._actions.get(name)
        if action is None:
            return self._renderer.message("There is no such action", 404)
        try:
            target = await self._in_thread(lambda: action.act(form))
        except ApiError as error:
            return self._renderer.message("That did not work", error.code, detail=error.message)
        if action.done:
            target += f"{'&' if '?' in target else '?'}done={name}"
        return RedirectResponse(target, 303)

    def _page(self, view: PageView) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._login_for(request)
            try:
                return await self._in_thread(lambda: self._rendered(view, request, session))
            except NotThere as error:
                return self._renderer.message(str(error), 404)
            except Exception:
                log.exception("the page %.200r failed", request.scope["path"])
                title = "This page cannot be shown; the server's log says why"
                return self._renderer.message(title, 500)

        return answer

    def _login_for(self, request: Request) -> Response:
        """Return the page that says how to log in; the login then leads to the address that was asked for.

        The address is kept under the page's own name only, which no other program of this machine receives.
        """
        response = self._renderer.login()
        address = request.scope["raw_path"].decode("latin-1")
        if request.url.query:
            address += f"?{request.url.query}"
        if self._is_page(request) and len(address) <= LONGEST_ADDRESS:
            response.set_cookie(
                self._wanted_cookie,
                quote(address, safe=""),
                LINK_SECONDS,
                secure=self._is_secure,
                httponly=True,
            )
        return response

    @property
    def _wanted_cookie(self) -> str:
        return f"{self._addresses.cookie}_wanted"

    @property
    def _is_secure(self) -> bool:
        return urlsplit(self._addresses.page).scheme == "https"

    def _wanted(self, request: Request) -> str:
        """Return the address to which a login leads: always on this server, even for a forged cookie."""
        address = unquote(request.cookies.get(self._wanted_cookie, ""))
        path = address.partition("?")[0]
        is_ours = address.isascii() and path.startswith("/") and has_one_reading(path.encode())
        return address if is_ours else "/"

    def _rendered(self, view: PageView, request: Request, session: str) -> Response:
        action = self._actions.get(request.query_params.get("done", ""))
        return self._renderer.show(
            request,
            self._viewed(view, request),
            form_token=self._credentials.form_token(session),
            done=action.done if action else None,
        )

    def _datum(self, view: DataView) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            if self._session(request) is None:
                return JSONResponse({}, 401)
            try:
                data = await self._in_thread(lambda: self._viewed(view, request))
            except (NotThere, ApiError):
                return JSONResponse({}, 404)
            if isinstance(data, Picture):
                return Response(data.content, media_type=data.kind, headers=KEEP)
            if isinstance(data, Download):
                disposition = f"attachment; filename*=utf-8''{quote(data.name, safe='')}"
                text = data.text.encode("utf-8", "replace")
                return Response(
                    text, media_type="text/plain", headers=NO_STORE | {"content-disposition": disposition}
                )
            return Response(json.dumps(data), media_type="application/json", headers=NO_STORE)

        return answer

    def _viewed(self, view: Callable[[Visit], T], request: Request) -> T:
        query = request.query_params
        chosen, columns = tuple(query.getlist("ids")), tuple(query.getlist("column"))
        here = quote(request.scope["path"])
        with self._database.read() as db:
            return view(Visit(db, self._files, request.path_params, query, chosen, columns, here))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _session(self, request: Request) -> str | None:
        """Return the visitor's credential if it is valid, else None."""
        cookie = request.cookies.get(self._addresses.cookie)
        if self._credentials.is_session(cookie):
            return cookie
        authorization = request.headers.get("authorization")
        try:
            self._credentials.authenticate(authorization)
        except Unauthorized:
            return None
        return authorization

    def _is_page(self, request: Request) -> bool:
        # A proxy may pass its own host name on; then every name is the page's.
        page = urlsplit(self._addresses.page)
        return self._addresses.proxied or host_name(request.headers["host"]).lower() == page.hostname


def plotly_file() -> Path:
    """Return the path of plotly.js in the installed package, without importing the package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise NotThere("The package plotly is not installed")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
