"""Routes of the page: every section's addresses, who may see them, and the threads that serve them."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from server.credentials import COOKIE, Credentials, Unauthorized
from server.database import Database
from server.dispatch import Api, set_session
from server.errors import ApiError
from server.files.tree import Leftovers, Tree
from server.requests import read_body
from server.web import compare, datasets, models, queues
from server.web.runs import pages as runs
from server.web.shell.rendering import NO_STORE, Renderer
from server.web.shell.section import DataView, Form, NotThere, PageView, Picture, Section, Visit
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
        files_origin: str,
        sections: tuple[Section, ...] = SECTIONS,
    ) -> None:
        """Serve the sections' pages over `database`; their forms act through `api`."""
        self._database = database
        self._credentials = credentials
        self._api = api
        self._files = files
        self._leftovers = Leftovers(database, files)
        self._pages = {path: view for section in sections for path, view in section.pages.items()}
        self._data = {path: view for section in sections for path, view in section.data_views.items()}
        self._actions = {name: action for section in sections for name, action in section.actions.items()}
        navigation = [link for section in sections for link in section.navigation]
        self._renderer = Renderer(HERE / "templates", navigation, files_origin)
        # Threads of its own: a slow page delays no call of the API.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="page")

    @property
    def routes(self) -> list[BaseRoute]:
        """Every address of the page; those of the API are not among them."""
        return [
            Route("/login", self.login, methods=["GET"]),
            Route("/plotly.js", self.plotly, methods=["GET"]),
            Route("/actions/{action}", self.act, methods=["POST"]),
            *(Route(path, self._page(view), methods=["GET"]) for path, view in self._pages.items()),
            *(Route(path, self._datum(view), methods=["GET"]) for path, view in self._data.items()),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    def close(self) -> None:
        """Wait for the pages in progress."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def login(self, request: Request) -> Response:
        """Trade a one-time link for a session."""
        if not self._credentials.redeem(request.query_params.get("token", "")):
            return self._renderer.login(request, "This link was used before or has expired")
        response = RedirectResponse("/", 303)
        set_session(response, self._credentials.token())
        return response

    async def plotly(self, request: Request) -> Response:
        """Serve plotly.js from the installed package; it is public, so it needs no session."""
        return FileResponse(
            plotly_file(), media_type="text/javascript", headers={"cache-control": "public, max-age=86400"}
        )

    async def act(self, request: Request) -> Response:
        """Run a form's action through the API and redirect to its result."""
        session = self._session(request)
        if session is None:
            return self._renderer.login(request)
        try:
            body = await read_body(request)
            fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except (ValueError, ApiError):
            return self._renderer.message(request, "This form cannot be read", 400)
        form = Form(self._api, self._leftovers, fields)
        if not self._credentials.is_form_token(form.value("form_token"), session):
            title = "This form belongs to another session: load the page again"
            return self._renderer.message(request, title, 403)
        name = request.path_params["action"]
        action = self._actions.get(name)
        if action is None:
            return self._renderer.message(request, "There is no such action", 404)
        try:
            target = await self._in_thread(lambda: action.act(form))
        except ApiError as error:
            return self._renderer.message(request, "That did not work", error.code, detail=error.message)
        return RedirectResponse(f"{target}?done={name}", 303)

    def _page(self, view: PageView) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._renderer.login(request)
            try:
                return await self._in_thread(lambda: self._rendered(view, request, session))
            except NotThere as error:
                return self._renderer.message(request, str(error), 404)
            except Exception:
                log.exception("the page %.200r failed", request.url.path)
                title = "This page cannot be shown; the server's log says why"
                return self._renderer.message(request, title, 500)

        return answer

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
            return Response(json.dumps(data), media_type="application/json", headers=NO_STORE)

        return answer

    def _viewed(self, view: Callable[[Visit], T], request: Request) -> T:
        chosen = tuple(request.query_params.getlist("ids"))
        with self._database.read() as db:
            return view(Visit(db, self._files, request.path_params, request.query_params, chosen))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _session(self, request: Request) -> str | None:
        """Return the visitor's credential if it is valid, else None."""
        authorization, cookie = request.headers.get("authorization"), request.cookies.get(COOKIE)
        try:
            self._credentials.authenticate(authorization, cookie)
        except Unauthorized:
            return None
        return cookie or authorization


def plotly_file() -> Path:
    """Return the path of plotly.js in the installed package, without importing the package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise NotThere("The package plotly is not installed")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
