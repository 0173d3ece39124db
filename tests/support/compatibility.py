"""Writes ``server/COMPATIBILITY.md``: ``python tests/support/compatibility.py``."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from clearml.backend_api.session.request import Request

from server.dispatch import WITHOUT_EFFECT, Endpoint
from server.services import discover
from server.services.unavailable import REASONS

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "server" / "COMPATIBILITY.md"
VERSIONS = ("v2_9", "v2_13", "v2_20", "v2_23")  # the newest last: it describes the call

ENTERPRISE = (
    "HyperDatasets are a feature of ClearML Enterprise; ClearML's open-source server answers 404 as well"
)
NOT_SERVED = {
    "datasets": ENTERPRISE,
    "dataviews": ENTERPRISE,
    "frames": ENTERPRISE,
    "workers.get_runtime_properties": "agents ask for it; ClearML's open-source server answers 404 as well",
    "workers.set_runtime_properties": "agents ask for it; ClearML's open-source server answers 404 as well",
}
"""Services and calls that clients know and this server answers with 404, with the reason."""

HEAD = """# Compatibility

Written by `python tests/support/compatibility.py`; a test keeps it true. Tested with the unmodified
clearml {sdk} and clearml-agent {agent}.

*Known*: the SDK has a request class for the call, so `APIClient` reaches it. *Tested*: a test names the call;
all the others that are served get the fuzzed requests and the check that strangers are refused. Every other
call answers 404 with the API's own envelope. For ClearML's example scripts, `python tests/support/examples.py
FOLDER`, with the folder `examples` of a checkout of ClearML, runs them with real agents and prints how each
one went.

| call | known | served | tested |
| --- | --- | --- | --- |
"""


REFUSED = """
These calls answer 400 with the reason, as for a feature that is off:

| call | why |
| --- | --- |
"""

UNSERVED = """
These answer 404:

| service or call | why |
| --- | --- |
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
    """The calls that the SDK knows, each with the arguments of its newest request class."""
    known: dict[str, set[str]] = {}
    for name in VERSIONS:
        package = importlib.import_module(f"clearml.backend_api.services.{name}")
        for info in pkgutil.iter_modules(package.__path__):
            for item in vars(importlib.import_module(f"{package.__name__}.{info.name}")).values():
                if isinstance(item, type) and issubclass(item, Request) and item._service == info.name:
                    known[f"{item._service}.{item._action}"] = set((item._schema or {}).get("properties", {}))
    return known


def reason_not_served(call: str) -> str | None:
    """Why this server answers 404 to a call, or None if it does not."""
    return NOT_SERVED.get(call, NOT_SERVED.get(call.partition(".")[0]))


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
    return set(re.findall(r"\b(?:client\.)?([a-z]+\.[a-z_]+)\b", text))


def lines() -> Iterator[str]:
    known, tested, served = set(known_arguments()), named_in_tests(), set(endpoints())
    for name in sorted(known | served):
        if reason_not_served(name):
            continue
        marks = ["yes" if name in known else "", "no" if name in REASONS else "yes" * (name in served)]
        yield f"| {name} | {' | '.join([*marks, 'yes' if name in tested & served else ''])} |"


def page() -> str:
    head = HEAD.format(sdk=version("clearml"), agent=version("clearml-agent"))
    refused_calls = [f"| {name} | {why} |" for name, why in sorted(REASONS.items())]
    unserved = [f"| {name} | {why} |" for name, why in sorted(NOT_SERVED.items())]
    refusals = [f"| {name} | {', '.join(arguments)} |" for name, arguments in refused().items()]
    ignored = [f"| {name} | {why} |" for name, why in sorted(WITHOUT_EFFECT.items())]
    parts = (head, lines(), REFUSED, refused_calls, UNSERVED, unserved)
    parts += (ARGUMENTS, refusals, IGNORED, ignored)
    return "".join(part if isinstance(part, str) else "\n".join(part) + "\n" for part in parts)


if __name__ == "__main__":
    PAGE.write_text(page())
