"""Hostile requests: valid calls from the SDK's own request schemas, spoiled in one place each."""

import importlib
import json
from collections.abc import Collection, Iterator, Mapping
from http.client import HTTPConnection
from random import Random
from typing import Any
from urllib.parse import urlsplit

from clearml.backend_api.session import Request
from support.embedded import Answer, Embedded

SERVICES = ("auth", "events", "models", "organization", "pipelines", "projects", "queues", "reports",
            "server", "tasks", "users", "workers")  # fmt: skip
VERSIONS = ("v2_9", "v2_13", "v2_20", "v2_23")  # the newest last: it describes the call

# JSON as it travels: half of it is nothing that json.dumps writes.
NASTY = (
    b"null", b"true", b"0", b"-1", b"0.5", b"-0.0", b"1e308", b"-1e308", b"1e400", b"1" + b"0" * 400,
    b"1" + b"0" * 5000, b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"NaN",
    b"-Infinity", b'""', b'" "', rb'"\ud800"', rb'"a\udfffb"', b'"\xed\xa0\x80"', b'"\xff"', rb'"\u0000"',
    rb'"a\u0000b"', b'"' + b"x" * 20_000 + b'"', b'"' + b"9" * 5000 + b'"', b'"9223372036854775808:1"',
    b'"http://[::1/x.zip"', b'"http://127.0.0.1/%00.zip"', b'"%ED%A0%80"', b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59-14:00"', rb'"{\"a\": \"\\ud800\"}"', rb'"{\"data\": NaN, \"a\": 1e999}"',
    rb'"(a|a)*$"', b'"["', b'"*"', b"[]", b"{}", b"[[]]", b"[{}]", b"[null]", b"[1, 2]", b'[""]', b'["a", 1]',
    b'{"": null}', b'{"a": 1}', b'{"a": {"b": []}}', rb'{"\ud800": 1}', rb'{"a\u0000": {}}', rb'["\ud800"]',
    b"[" * 150 + b"]" * 150, b"[" * 1500 + b"]" * 1500, b'{"a":' * 1500 + b"1" + b"}" * 1500,
    b'"' + b"[" * 1500 + b"]" * 1500 + b'"', b"[1e308, 1e308, -1e308]",
)  # fmt: skip
WORDS = (
    "a",
    "b.c",
    "training",
    "2020-01-01T00:00:00",
    ">=2020-01-01",
    "input",
    "Args",
    "training_stats_scalar",
)
SPOILED = b'"spoiled"'


def schemas() -> dict[str, Mapping[str, Any]]:
    """Each call's JSON schema in the SDK's newest request class of it."""
    for version in VERSIONS:
        for name in SERVICES:
            try:
                importlib.import_module(f"clearml.backend_api.services.{version}.{name}")
            except ModuleNotFoundError:
                continue
    known: dict[str, Mapping[str, Any]] = {}
    for kind in sorted(_below(Request), key=lambda kind: VERSIONS.index(kind.__module__.split(".")[-2])):
        if getattr(kind, "_schema", None):
            known[f"{kind._service}.{kind._action}"] = kind._schema
    # The SDK has no class for these; they take what the plain call takes.
    return {f"{name}_ex": schema for name, schema in known.items()} | known


def _below(kind: type) -> Iterator[Any]:
    for child in kind.__subclasses__():
        if ".services.v2_" in child.__module__:
            yield child
        yield from _below(child)


class Fuzzer:
    """Draws requests; the same seed draws the same ones."""

    def __init__(self, seed: int, ids: Mapping[str, str]) -> None:
        """``ids`` are of documents that exist, by the names of the fields that hold them."""
        self._random = Random(seed)
        self._ids = ids

    def spoiled(self, schema: Mapping[str, Any], names: Collection[str]) -> bytes:
        """Draw a body of the arguments ``names``, valid but in one to three places of any depth."""
        drawn = self._value("", schema, schema.get("definitions", {}), 0)
        arguments = dict.fromkeys(names, "abc") if not schema else drawn
        arguments = {name: value for name, value in arguments.items() if name in names}
        for _ in range(self._random.choice((1, 1, 2, 3))):
            arguments = self._spoil(arguments)
        body = json.dumps(arguments).encode()
        while SPOILED in body:
            body = body.replace(SPOILED, self._random.choice(NASTY), 1)
        return body

    def _spoil(self, value: Any) -> Any:
        """Replace one value in it, at random, by the mark of a spoiled one."""
        if isinstance(value, dict) and value:
            key = self._random.choice(list(value))
            deeper = value[key] and isinstance(value[key], (dict, list)) and self._random.random() < 0.7
            return value | {key: self._spoil(value[key]) if deeper else "spoiled"}
        if isinstance(value, list) and value:
            return [self._spoil(value[0]) if self._random.random() < 0.7 else "spoiled", *value[1:]]
        return {"spoiled": "spoiled"} if isinstance(value, dict) else ["spoiled"]

    def _value(self, name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
        if "$ref" in schema:
            schema = definitions.get(schema["$ref"].rpartition("/")[2], {})
        for union in ("anyOf", "oneOf"):
            if union in schema:
                schema = {**schema, **self._random.choice(schema[union])}
                if "$ref" in schema:
                    return self._value(name, {"$ref": schema["$ref"]}, definitions, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        kinds = schema.get("type", "string")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "object" and depth < 5:
            fields = schema.get("properties", {})
            chosen = {
                key: self._value(key, item, definitions, depth + 1)
                for key, item in fields.items()
                if key in schema.get("required", ()) or key in self._ids or self._random.random() < 0.5
            }
            extra = schema.get("additionalProperties")
            if isinstance(extra, dict):
                chosen[self._random.choice(WORDS)] = self._value("", extra, definitions, depth + 1)
            return chosen
        if kind == "array" and depth < 5:
            item = schema.get("items", {})
            return [self._value(name.removesuffix("s"), item, definitions, depth + 1)]
        if kind in ("integer", "number"):
            return self._random.choice((0, 1, 2, 10))
        if kind == "boolean":
            return self._random.random() < 0.5
        return self._ids.get(name) or self._random.choice(WORDS)


def send(address: str, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send one request as it is: path and body need not be what a well-behaved client sends."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in (*headers.items(), ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def world(server: Embedded, number: int) -> dict[str, str]:
    """Create one document of each kind; returns their ids by the names of the fields that hold them."""
    project = server.call("projects.create", name=f"world {number}").data["id"]
    task = server.new_task(name=f"task {number}", project=project, type="controller", system_tags=["dataset"])
    model = server.call(
        "models.create", name=f"model {number}", uri="http://f/m", project=project, task=task
    ).data["id"]
    queue = server.call("queues.create", name=f"queue {number}").data["id"]
    server.call("workers.register", worker=f"worker {number}", queues=[queue])
    known = {
        ("task", "tasks", "id", "ids", "parent", "new_task_parent"): task,
        ("project", "projects", "project_id", "new_task_project"): project,
        ("model", "models", "model_id", "override_model_id"): model,
        ("queue", "queues"): queue,
        ("worker", "name"): f"worker {number}",
        ("new_project_name", "project_name", "new_location"): f"world {number}",
    }
    return {name: document_id for names, document_id in known.items() for name in names}


TABS = (
    "", "/output/log", "/output/log?q=a", "/output/log?after=0", "/info-output/metrics/scalar",
    "/info-output/metrics/plots", "/info-output/debugImages", "/configuration", "/artifacts",
)  # fmt: skip


def pages_of(ids: Mapping[str, str]) -> list[str]:
    """Return the addresses of every page about these documents."""
    task, project = ids["task"], ids["project"]
    return [
        *(f"/projects/{project}/experiments/{task}{tab}" for tab in TABS),
        f"/pipelines/{project}/experiments/{task}", f"/new-run/{task}", f"/datasets/pictures/{task}/0",
        f"/datasets/simple/{project}/experiments/{task}", f"/projects/{project}/models/{ids['model']}",
        f"/projects/{project}", f"/compare?ids={task}&ids={task}", f"/figures/scalar?metric=abc&ids={task}",
        "/", "/tasks", "/models", "/datasets", "/queues", "/workers",
    ]  # fmt: skip
