"""Writes ``server/COMPATIBILITY.md``: ``python tests/support/compatibility.py``."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from server.dispatch import WITHOUT_EFFECT, Endpoint
from server.services import discover

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "server" / "COMPATIBILITY.md"
SERVED = (
    "auth",
    "events",
    "models",
    "organization",
    "pipelines",
    "projects",
    "queues",
    "tasks",
    "users",
    "workers",
)
REQUESTS = "clearml.backend_api.services.v2_23"

HEAD = """# Compatibility

Written by `python tests/support/compatibility.py`; a test keeps it true. Tested with the unmodified
clearml {sdk} and clearml-agent {agent}.

*Known*: the SDK has a request class for the call. *Tested*: a test names the call; all the others that are
served get the fuzzed requests and the check that strangers are refused. Every other call answers 404 with
the API's own envelope. For ClearML's example scripts, `python tests/support/examples.py FOLDER`, with the
folder `examples` of a checkout of ClearML, runs them with real agents and prints how each one went.

| call | known | served | tested |
| --- | --- | --- | --- |
"""


ARGUMENTS = """
## Arguments

A call that is served reads the arguments that ClearML documents for it, but for these. With one of them,
unless it is null or false, the call answers 400 and names it, as it does for an argument that nobody knows.

| call | refused |
| --- | --- |
"""

IGNORED = """
These arguments are accepted and have no effect:

| argument | why |
| --- | --- |
"""


def known_arguments() -> dict[str, set[str]]:
    """The calls of the services that we serve with their arguments, by the SDK's newest classes."""
    from clearml.backend_api.session.request import Request

    known: dict[str, set[str]] = {}
    for service in SERVED:
        if importlib.util.find_spec(f"{REQUESTS}.{service}") is None:
            continue
        for item in vars(importlib.import_module(f"{REQUESTS}.{service}")).values():
            if isinstance(item, type) and issubclass(item, Request) and item._service == service:
                known[f"{service}.{item._action}"] = set((item._schema or {}).get("properties", {}))
    return known


def endpoints() -> dict[str, Endpoint]:
    return {name: endpoint for service in discover() for name, endpoint in service.endpoints.items()}


def refused() -> dict[str, list[str]]:
    """The documented arguments that calls refuse."""
    known = known_arguments()
    refused = {
        name: sorted(argument for argument in known.get(name, ()) if not endpoint.supports(argument))
        for name, endpoint in sorted(endpoints().items())
    }
    return {name: arguments for name, arguments in refused.items() if arguments}


def named_in_tests() -> set[str]:
    text = "\n".join(path.read_text() for path in (TESTS / "server").glob("test_*.py"))
    return set(re.findall(r"\b[a-z]+\.[a-z_]+\b", text))


def lines() -> Iterator[str]:
    known, tested, served = set(known_arguments()), named_in_tests(), set(endpoints())
    for name in sorted(known | served):
        marks = ["yes" if name in group else "" for group in (known, served, tested & served)]
        yield f"| {name} | {' | '.join(marks)} |"


def page() -> str:
    head = HEAD.format(sdk=version("clearml"), agent=version("clearml-agent"))
    refusals = [f"| {name} | {', '.join(arguments)} |" for name, arguments in refused().items()]
    ignored = [f"| {name} | {why} |" for name, why in sorted(WITHOUT_EFFECT.items())]
    parts = (head, lines(), ARGUMENTS, refusals, IGNORED, ignored)
    return "".join(part if isinstance(part, str) else "\n".join(part) + "\n" for part in parts)


if __name__ == "__main__":
    PAGE.write_text(page())
