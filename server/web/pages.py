"""The page: runs, and one task at a time, rendered on the server."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from server import clock, documents
from server.credentials import COOKIE, Credentials
from server.database import Database
from server.errors import Unauthorized
from server.rpc import set_session
from server.web import views

HERE = Path(__file__).parent


class Pages:
    """The routes of the page. Whoever has no session is told how to get one."""

    def __init__(self, database: Database, credentials: Credentials, files_origin: str) -> None:
        self._database = database
        self._credentials = credentials
        self._templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
        self._templates.filters["moment"] = moment
        self._policy = (
            f"default-src 'none'; style-src 'self'; img-src 'self' {files_origin};"
            " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        )

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.runs, methods=["GET"]),
            Route("/login", self.login, methods=["GET"]),
            Route("/projects/{project}/experiments/{task}", self.task, methods=["GET"]),
            Route("/projects/{project}/experiments/{task}/{tab:path}", self.task, methods=["GET"]),
            Route("/projects/{project}/tasks/{task}", self.task, methods=["GET"]),
            Route("/projects/{project}/tasks/{task}/{tab:path}", self.task, methods=["GET"]),
            Route("/pipelines/{project}/experiments/{task}", self.task, methods=["GET"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    async def login(self, request: Request) -> Response:
        """Trade a one-time link for a session."""
        if not self._credentials.redeem(request.query_params.get("token", "")):
            return self._page("message.html", 401, title="This link is used or too old")
        response = RedirectResponse("/", 303)
        set_session(response, self._credentials.token())
        return response

    async def runs(self, request: Request) -> Response:
        if not self._knows(request):
            return self._stranger()
        return await run_in_threadpool(self._runs)

    async def task(self, request: Request) -> Response:
        if not self._knows(request):
            return self._stranger()
        return await run_in_threadpool(self._task, request.path_params["task"])

    def _runs(self) -> Response:
        with self._database.read() as db:
            found = views.runs(db)
        return self._page("runs.html", runs=found)

    def _task(self, task_id: str) -> Response:
        with self._database.read() as db:
            task = documents.find(db, "tasks", task_id)
            if task is None:
                return self._page("message.html", 404, title="There is no such task")
            return self._page(
                "task.html",
                task=task,
                project=documents.names(db, "projects", [task.get("project") or ""]),
                duration=views.duration(task),
                steps=views.steps(task),
                children=views.children(db, task),
                parameters=list(views.parameters(task)),
                metrics=views.metrics(task),
                artifacts=list(views.artifacts(task)),
                models=list(views.models(db, task)),
                log=views.log_tail(db, task),
            )

    def _knows(self, request: Request) -> bool:
        try:
            self._credentials.authenticate(request.headers.get("authorization"), request.cookies.get(COOKIE))
        except Unauthorized:
            return False
        return True

    def _stranger(self) -> Response:
        return self._page("message.html", 401, title="Please open the page by its link")

    def _page(self, template: str, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(template).render(**values)
        headers = {"content-security-policy": self._policy, "cache-control": "no-store"}
        return HTMLResponse(text, status, headers)


def moment(timestamp: object) -> str:
    """A timestamp to the second, in UTC."""
    if not isinstance(timestamp, str):
        return ""
    return clock.parse(timestamp).strftime("%Y-%m-%d %H:%M:%S")
