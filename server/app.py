"""Server process: two listening sockets, one event loop, one database."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server import documents
from server.addresses import Addresses, addresses, proxied_addresses
from server.connections import Connection, connection
from server.credentials import Credentials
from server.data_folder import DataFolder
from server.database import Database, Unavailable
from server.dispatch import PATH, Api
from server.errors import StartError
from server.files.file_server import Files
from server.files.tree import Tree
from server.guard import Guard
from server.retention import Retention
from server.services import discover
from server.stores.queues import DEFAULT_TAG, ensure_queue
from server.watchdog import Watchdog
from server.web.routes import Pages

API_METHODS = ["GET", "POST", "PUT"]
FILE_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]
SHUTDOWN_SECONDS = 1


@dataclass(frozen=True)
class Settings:
    """Options of the command line; ``worker_timeout`` in seconds, 0 for no watchdog."""

    data: Path
    host: str = "127.0.0.1"
    api_port: int = 8008
    files_port: int = 8081
    worker_timeout: float = 120.0
    allowed_hosts: tuple[str, ...] = ()
    public_host: str = ""
    page_host: str = ""
    public_url: str = ""
    public_files_url: str = ""
    keep_archived_days: float | None = None
    patience: float = Connection.patience


class ByPort:
    """ASGI application that passes each request to the application of its port."""

    def __init__(self, apps: dict[int, ASGIApp]) -> None:
        """Map each port to its application."""
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application of the port on which the request arrived."""
        await self._apps[scope["server"][1]](scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn with its own signal handling; announces its addresses once the sockets listen."""

    def __init__(
        self, config: uvicorn.Config, folder: DataFolder, addresses: Addresses, host: str, port: int
    ) -> None:
        """Announce the ``addresses``, and ``host`` and ``port`` of the API, in ``folder`` after startup."""
        super().__init__(config)
        self._folder, self._addresses, self._listening = folder, addresses, (host, port)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then announce the addresses."""
        await super().startup(sockets)
        public = self._addresses
        self._folder.announce(public.api, public.page, public.files, *self._listening)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down gracefully on SIGTERM and SIGINT."""
        # uvicorn raises the signal again after its own shutdown, which would cut ours short.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def run(settings: Settings) -> None:
    """Serve until a signal arrives.

    Raises:
        StartError: A port is taken, or the data folder cannot be used.
    """
    os.umask(0o077)
    folder = DataFolder(settings.data)
    folder.claim()
    try:
        with (
            contextlib.closing(_listen(settings.host, settings.api_port, "--api-port")) as api,
            contextlib.closing(_listen(settings.host, settings.files_port, "--files-port")) as files,
        ):
            asyncio.run(_serve(settings, folder, api, files))
    except (OSError, Unavailable) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartError(f"cannot use the data folder {folder.path}: {reason}") from error
    finally:
        folder.release()


async def _serve(settings: Settings, folder: DataFolder, api: socket.socket, files: socket.socket) -> None:
    credentials = Credentials.of(folder.path)
    database = Database(folder.database)
    with database.write() as db:
        ensure_queue(db, "default", documents.now(), (DEFAULT_TAG,))
    calls = Api(database, credentials, discover())
    ports = (api.getsockname()[1], files.getsockname()[1])
    public = _addresses(settings, ports, credentials.private_host)
    tree = Tree(folder.files)
    pages = Pages(database, credentials, calls, tree, public)
    app = ByPort(
        {
            ports[0]: Guard(api_app(calls, pages), public),
            ports[1]: Guard(files_app(Files(tree, folder.uploads, credentials)), public),
        }
    )
    config = uvicorn.Config(
        app,
        http=connection(settings.patience),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = Server(config, folder, public, settings.host, ports[0])
    chores = []
    if settings.worker_timeout:
        chores.append(asyncio.create_task(Watchdog(database, settings.worker_timeout).run()))
    if settings.keep_archived_days is not None:
        retention = Retention(database, tree, settings.keep_archived_days)
        chores.append(asyncio.create_task(retention.run()))
    try:
        await server.serve([api, files])
    finally:
        for chore in chores:
            chore.cancel()
        pages.close()
        calls.close()
        database.close()


def api_app(calls: Api, pages: Pages) -> Starlette:
    """Return the application of the API's port: the pages; every other path is an API call.

    An address that is neither is a page for a browser, and the API's 404 for any other client.
    """

    async def handle(request: Request) -> Response:
        reads_html = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        if reads_html and PATH.fullmatch(request.scope["path"]) is None:
            return await pages.unknown(request)
        return await calls.handle(request)

    return Starlette(routes=[*pages.routes, Route("/{path:path}", handle, methods=API_METHODS)])


def files_app(files: Files) -> Starlette:
    """Return the application of the file server's port."""
    return Starlette(routes=[Route("/{path:path}", files.handle, methods=FILE_METHODS)])


def _listen(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartError(
            f"cannot listen on {host} port {port}: {reason}; choose another with {option}"
        ) from error


def _addresses(settings: Settings, ports: tuple[int, int], private_host: str) -> Addresses:
    names = (settings.host, *settings.allowed_hosts)
    if settings.public_url or settings.public_files_url:
        return proxied_addresses(settings.public_url, settings.public_files_url, names)
    public = settings.public_host or settings.host
    return addresses(public, ports, names, settings.page_host, private_host)
