"""The page: its addresses, who may look, and how an answer is made."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from server.credentials import COOKIE, Credentials
from server.database import Database
from server.dispatch import Api, set_session
from server.errors import ApiError, Unauthorized
from server.files.tree import Leftovers, Tree
from server.requests import read_body
from server.web import compare, datasets, workers
from server.web import models as registry
from server.web import queues as entries
from server.web.runs import pages as run_page
from server.web.runs import runs
from server.web.shell import actions
from server.web.shell.form import Form
from server.web.shell.policy import policy
from server.web.shell.rendering import Rendering
from server.web.shell.section import NotThere, Picture, Shown, Visit
from server.web.tasks import figures as plots
from server.web.tasks import pages as task_page
from server.web.tasks import tasks

HERE = Path(__file__).resolve().parent
THREADS = 4
MOST_FIELDS = 2000

T = TypeVar("T")
log = logging.getLogger("server")

PageFunction = Callable[[Visit], Shown]
DataFunction = Callable[[Visit], object]

PAGES: dict[str, PageFunction] = {
    "/": runs.page,
    "/tasks": tasks.page,
    "/compare": compare.page,
    "/models": registry.page,
    "/datasets": datasets.page,
    "/queues": entries.page,
    "/workers": workers.page,
    "/new-run/{task}": run_page.new_run,
    "/projects/{project}": tasks.page,
    "/projects/{project}/experiments": tasks.page,
    "/projects/{project}/tasks": tasks.page,
    "/projects/{project}/models/{model}": registry.model,
    "/projects/{project}/models/{model}/{tab:path}": registry.model,
    "/projects/{project}/experiments/{task}": task_page.page,
    "/projects/{project}/experiments/{task}/{tab:path}": task_page.page,
    "/projects/{project}/tasks/{task}": task_page.page,
    "/projects/{project}/tasks/{task}/{tab:path}": task_page.page,
    "/pipelines/{project}/experiments/{task}": run_page.page,
    "/pipelines/{project}/experiments/{task}/{tab:path}": task_page.page,
    "/datasets/{kind}/{project}/experiments/{task}": datasets.version,
    "/datasets/{kind}/{project}/experiments/{task}/{tab:path}": datasets.version,
}

DATA: dict[str, DataFunction] = {
    "/figures/scalar": plots.scalar_figure,
    "/datasets/pictures/{task}/{place:int}": datasets.picture,
    "/figures/plot/{task}/{number:int}": plots.plot_figure,
}


class Pages:
    """The routes of the page. Whoever has no session is told how to get one."""

    def __init__(
        self, database: Database, credentials: Credentials, calls: Api, files: Tree, files_origin: str
    ) -> None:
        """Serve pages over `database`; their forms act through `calls`."""
        self._database = database
        self._credentials = credentials
        self._calls = calls
        self._files = files
        self._actions = actions.actions(Leftovers(database, files))
        self._rendering = Rendering(HERE / "templates")
        # Threads of its own: a slow page delays no call of the API.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="page")
        self._files_origin = files_origin

    @property
    def routes(self) -> list[BaseRoute]:
        """Every address of the page; those of the API are not among them."""
        return [
            Route("/login", self.login, methods=["GET"]),
            Route("/plotly.js", self.plotly, methods=["GET"]),
            Route("/actions/{action}", self.act, methods=["POST"]),
            *(Route(path, self._shows(function), methods=["GET"]) for path, function in PAGES.items()),
            *(Route(path, self._answers(function), methods=["GET"]) for path, function in DATA.items()),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    def close(self) -> None:
        """Wait for the pages in progress."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def login(self, request: Request) -> Response:
        """Trade a one-time link for a session."""
        if not self._credentials.redeem(request.query_params.get("token", "")):
            return self._stranger(request, "This link is used or too old")
        response = RedirectResponse("/", 303)
        set_session(response, self._credentials.token())
        return response

    async def plotly(self, request: Request) -> Response:
        """plotly.js out of the installed package: it is public, so it needs no session."""
        return FileResponse(
            plotly_file(), media_type="text/javascript", headers={"cache-control": "public, max-age=86400"}
        )

    async def act(self, request: Request) -> Response:
        """Do what a form says by the call that the API has for it, and show what became of it."""
        session = self._session(request)
        if session is None:
            return self._stranger(request)
        try:
            body = await read_body(request)
            fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except (ValueError, ApiError):
            return self._message(request, "This form cannot be read", 400)
        form = Form(fields)
        if not self._credentials.is_form_token(form.value("form_token"), session):
            return self._message(request, "This form is not of your session: load the page again", 403)
        act = self._actions.get(request.path_params["action"])
        if act is None:
            return self._message(request, "There is no such action", 404)
        try:
            target = await self._off_loop(lambda: act(self._calls, form))
        except ApiError as error:
            return self._message(request, "That did not work", error.code, detail=error.message)
        return RedirectResponse(target, 303)

    def _shows(self, function: PageFunction) -> Callable[[Request], object]:
        async def show(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._stranger(request)
            try:
                return await self._off_loop(
                    lambda: self._page(request, self._look(function, request), session)
                )
            except NotThere as error:
                return self._message(request, str(error), 404)
            except Exception:
                log.exception("the page %.200r failed", request.url.path)
                return self._message(request, "This page cannot be shown (see the server's log)", 500)

        return show

    def _answers(self, function: DataFunction) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            if self._session(request) is None:
                return JSONResponse({}, 401)
            try:
                data = await self._off_loop(lambda: self._look(function, request))
            except (NotThere, ApiError):
                return JSONResponse({}, 404)
            if isinstance(data, Picture):
                return Response(data.content, media_type=data.kind, headers=KEEP)
            return Response(json.dumps(data), media_type="application/json", headers=NO_STORE)

        return answer

    def _look(self, function: Callable[[Visit], T], request: Request) -> T:
        chosen = tuple(request.query_params.getlist("ids"))
        with self._database.read() as db:
            return function(
                Visit(db, self._calls, self._files, request.path_params, request.query_params, chosen)
            )

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _session(self, request: Request) -> str | None:
        """What the visitor shows for a session; None if that is not good."""
        authorization, cookie = request.headers.get("authorization"), request.cookies.get(COOKIE)
        try:
            self._credentials.authenticate(authorization, cookie)
        except Unauthorized:
            return None
        return cookie or authorization

    def _stranger(self, request: Request, title: str = "Please open the page by its link") -> Response:
        return self._html(request, self._rendering.page("login.html", title=title), 401)

    def _message(self, request: Request, title: str, status: int, detail: str = "") -> Response:
        return self._html(request, self._rendering.page("message.html", title=title, detail=detail), status)

    def _page(self, request: Request, shown: Shown, session: str) -> Response:
        values = shown.values | {
            "form_token": self._credentials.form_token(session),
            "here": request.url.path,
            "query": request.query_params,
            "done": actions.DONE.get(request.query_params.get("done", "")),
        }
        if "fragment" in request.query_params:
            text = self._rendering.fragment(shown.template, **values)
        else:
            text = self._rendering.page(shown.template, **values)
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag, **NO_STORE})
        return self._html(request, text, shown.status, tag)

    def _html(self, request: Request, text: str, status: int, tag: str = "") -> Response:
        rules = policy(self._files_origin, request.headers.get("host", ""))
        headers = {"content-security-policy": rules, **NO_STORE}
        return HTMLResponse(text, status, headers | ({"etag": tag} if tag else {}))


NO_STORE = {"cache-control": "no-store"}
KEEP = {"cache-control": "private, max-age=3600", "content-security-policy": "sandbox; default-src 'none'"}


def plotly_file() -> Path:
    """plotly.js in the installed package, which need not be imported for it."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise NotThere("The package plotly is not installed")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
