"""API calls over HTTP: routed, authenticated, run in a transaction, answered in an envelope."""

import asyncio
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server import API_VERSION, documents
from server.credentials import Credentials
from server.database import Database
from server.documents import Document, dump, new_id
from server.errors import ApiError, InvalidArgument
from server.query import DOTTED
from server.requests import Arguments, is_batch, parse_lines, parse_object, read_body

log = logging.getLogger("server")

PATH = re.compile(r"/(?:v(?P<version>\d{1,3}(?:\.\d{1,3})?)/)?(?P<name>[a-z_]{1,40}\.[a-z0-9_]{1,60})")
LOGIN, PING = "auth.login", "debug.ping"
THREADS = 8
T = TypeVar("T")
REMEMBERED_UNKNOWN = 500


class UnknownEndpoint(ApiError, code=404):
    """No service has this call."""


@dataclass(frozen=True)
class Call:
    """A handler's input: an open transaction, the request's arguments and its raw lines."""

    db: sqlite3.Connection
    arguments: Arguments
    lines: list[bytes]
    credentials: Credentials
    now: str
    address: str
    sliced: int = 0
    """What the call's slices returned, added up."""


Handler = Callable[[Call], Document]
Act = Callable[[Call, str], Document]
"""Changes the document with the given id."""


WITHOUT_EFFECT = {
    "method": "the SDK sends it with every call",
    "model_events": "models report under their own ids, so the id says whose events are meant",
    "public": "there is one company, so nothing is hidden from others",
    "allow_public": "elsewhere than in filters: a document that a call names is found, public or not",
    "move_to_trash": "a deleted task is gone either way",
    "delete_external_artifacts": "the files stay; the SDK deletes them itself",
    "validate_references": "the project and the parent of a clone are checked either way",
    "no_scroll": "the answer is whole",
    "task_types": "the SDK's dataset triggers send it, and ClearML's own server does not know it",
    "is_daemon": "agents report it with their status",
    "allow_locked": "events can be deleted whatever the task's status is",
}
"""Arguments that every call accepts and ignores, with the reason why the answer is right all the same."""

ANYTHING = "*"
"""Stands for arguments of any name: the lines of events."""


@dataclass(frozen=True)
class Endpoint:
    """A handler, its kind of transaction, the API version for the envelope, and the arguments read.

    ``slices``, if any, runs first, in transactions of its own until it returns 0.
    """

    handler: Handler
    writes: bool
    version: str
    arguments: frozenset[str]
    slices: Callable[[Call], int] | None = None

    def supports(self, name: str) -> bool:
        """Return True if the call reads the argument, or may ignore it."""
        return (
            name in self.arguments
            or name in WITHOUT_EFFECT
            or ANYTHING in self.arguments
            or (DOTTED in self.arguments and "." in name)
        )

    def check(self, values: Document) -> None:
        """Raise InvalidArgument for an argument that the answer would ignore; null and false ask nothing."""
        for name, value in values.items():
            if value is not None and value is not False and not self.supports(name):
                raise InvalidArgument(
                    f"Unsupported argument {name!r:.80}: this server cannot heed it in this call, see"
                    " server/COMPATIBILITY.md"
                )


class Service:
    """A named group of endpoints, with which handlers register by decorator.

    Each decorator takes the names of the arguments that the handler reads; a call with another is refused.
    """

    def __init__(self, name: str, version: str = "1.0") -> None:
        """``name`` precedes the dot of every call; ``version`` is reported in the envelope."""
        self.name = name
        self.version = version
        self.endpoints: dict[str, Endpoint] = {}

    def reads(self, action: str, *arguments: str) -> Callable[[Handler], Handler]:
        """Register a handler that reads a snapshot and changes nothing."""
        return self._register(action, arguments, writes=False)

    def writes(self, action: str, *arguments: str) -> Callable[[Handler], Handler]:
        """Register a handler that runs in the one write transaction, committed before the answer is sent."""
        return self._register(action, arguments, writes=True)

    def writes_one(self, action: str, argument: str, *others: str, **extra: object) -> Callable[[Act], Act]:
        """Register an act on the document whose id is in ``argument``; ``extra`` joins its answer."""

        def register(act: Act) -> Act:
            self.writes(action, argument, *others)(
                lambda call: {**extra, **act(call, call.arguments.text(argument))}
            )
            return act

        return register

    def writes_each(self, action: str, *arguments: str, **extra: object) -> Callable[[Act], Act]:
        """Register an act on each of ``ids``, as ``bulk`` runs it; ``extra`` joins each success."""

        def register(act: Act) -> Act:
            self.writes(action, "ids", *arguments)(
                lambda call: bulk(call, lambda item_id: {**extra, **act(call, item_id)})
            )
            return act

        return register

    def in_slices(self, *actions: str) -> Callable[[Callable[[Call], int]], Callable[[Call], int]]:
        """Register the first part of long deletions, which other writers interrupt; 0 ends it."""

        def register(slices: Callable[[Call], int]) -> Callable[[Call], int]:
            for name in (f"{self.name}.{action}" for action in actions):
                self.endpoints[name] = replace(self.endpoints[name], slices=slices)
            return slices

        return register

    def _register(self, action: str, arguments: Iterable[str], writes: bool) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            name = f"{self.name}.{action}"
            self.endpoints[name] = Endpoint(handler, writes, self.version, frozenset(arguments))
            return handler

        return register


def bulk(call: Call, act: Callable[[str], Document]) -> Document:
    """Run ``act`` for each of ``ids``; a failing one is rolled back and reported, and the others go ahead."""
    succeeded: list[Document] = []
    failed: list[Document] = []
    for item_id in call.arguments.texts("ids"):
        call.db.execute("SAVEPOINT item")
        try:
            succeeded.append({"id": item_id, **act(item_id)})
        except ApiError as error:
            call.db.execute("ROLLBACK TO item")
            codes = [error.code, error.subcode]
            failed.append({"id": item_id, "error": {"codes": codes, "msg": error.message, "data": {}}})
        call.db.execute("RELEASE item")
    return {"succeeded": succeeded, "failed": failed}


class Api:
    """Runs calls: authenticates, parses, opens the transaction and wraps result or error in an envelope."""

    def __init__(self, database: Database, credentials: Credentials, services: Iterable[Service]) -> None:
        """Serve the calls of ``services`` from a small thread pool."""
        self._database = database
        self._credentials = credentials
        self._endpoints = {
            name: endpoint for service in services for name, endpoint in service.endpoints.items()
        }
        # Off the event loop, a long query or a wait for the writer delays only its own caller.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
        self._unknown: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The served calls, as ``service.action``."""
        return sorted(self._endpoints)

    async def handle(self, request: Request) -> Response:
        """Handle any path; unknown calls get the API's 404 envelope."""
        # Not the path of `request.url`, which ends at an encoded question mark.
        path = request.scope["path"]
        match = PATH.fullmatch(path)
        name = match["name"] if match else path[1:]
        requested = (match["version"] if match else None) or API_VERSION
        known = self._endpoints.get(name)
        version = known.version if known else None
        try:
            data = await self._answer(name, requested, request)
        except ApiError as error:
            return envelope(name, requested, version, error=error)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("%.100r failed", name)
            return envelope(name, requested, version, error=ApiError("General error (see the server's log)"))
        return envelope(name, requested, version, data)

    def invoke(self, name: str, /, **values: object) -> Document:
        """Run a call within the process, as the page does; raises ApiError where HTTP would answer it."""
        return self._handle(self._endpoints[name], values, [], "")

    def close(self) -> None:
        """Wait for calls in progress and drop those not started."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _answer(self, name: str, requested: str, request: Request) -> Document:
        if name != PING:
            self._credentials.authenticate(request.headers.get("authorization"), pair=name == LOGIN)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            self._note_unknown(name)
            raise UnknownEndpoint(f"Unable to find endpoint for name {name} and version {requested}")
        body = await read_body(request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._run, endpoint, request, body)

    def _run(self, endpoint: Endpoint, request: Request, body: bytes) -> Document:
        lines = parse_lines(body) if is_batch(request) else []
        values: Document = {} if lines else parse_object(body)
        address = request.client.host if request.client else ""
        return self._handle(endpoint, {**request.query_params, **values}, lines or [body], address)

    def _handle(self, endpoint: Endpoint, values: Document, lines: list[bytes], address: str) -> Document:
        endpoint.check(values)
        transaction = self._database.write if endpoint.writes else self._database.read

        def run(handler: Callable[[Call], T], sliced: int = 0) -> T:
            with transaction() as db:
                now = documents.now()
                return handler(Call(db, Arguments(values), lines, self._credentials, now, address, sliced))

        if endpoint.slices is None:
            return run(endpoint.handler)
        sliced = 0
        while part := run(endpoint.slices):
            sliced += part
        data = run(endpoint.handler, sliced)
        self._database.shrink()
        return data

    def _note_unknown(self, name: str) -> None:
        if name not in self._unknown and len(self._unknown) < REMEMBERED_UNKNOWN:
            self._unknown.add(name)
            log.warning("no such endpoint: %.100r", name)


def envelope(
    name: str,
    requested: str,
    version: str | None,
    data: Document | None = None,
    error: ApiError | None = None,
) -> Response:
    """Return a response in the API's envelope: ``meta`` about the call, ``data`` from the handler."""
    call_id = new_id()
    code = error.code if error else 200
    meta = {
        "id": call_id,
        "trx": call_id,
        "endpoint": {"name": name, "requested_version": requested, "actual_version": version},
        "result_code": code,
        "result_subcode": error.subcode if error else 0,
        "result_msg": error.message if error else "OK",
        "error_stack": None,
        "error_data": {},
    }
    body = dump({"meta": meta, "data": data or {}}).encode("utf-8", "replace")
    return Response(body, code, media_type="application/json")
