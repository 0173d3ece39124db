"""Writes ``server/COMPATIBILITY.md``: ``python tests/support/compatibility.py``."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

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
REQUEST = re.compile(r'_service = "(\w+)"\s+_action = "(\w+)"')

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


def known_calls() -> set[str]:
    """The calls of the services that we serve, as the newest request classes of the SDK name them."""
    spec = find_spec("clearml.backend_api.services.v2_23")
    assert spec is not None
    assert spec.origin is not None
    files = [path.read_text() for path in Path(spec.origin).parent.glob("*.py")]
    pairs = [pair for text in files for pair in REQUEST.findall(text)]
    return {f"{service}.{action}" for service, action in pairs if service in SERVED}


def named_in_tests() -> set[str]:
    text = "\n".join(path.read_text() for path in (TESTS / "server").glob("test_*.py"))
    return set(re.findall(r"\b[a-z]+\.[a-z_]+\b", text))


def lines() -> Iterator[str]:
    known, tested = known_calls(), named_in_tests()
    served = {name for service in discover() for name in service.endpoints}
    for name in sorted(known | served):
        marks = ["yes" if name in group else "" for group in (known, served, tested & served)]
        yield f"| {name} | {' | '.join(marks)} |"


def page() -> str:
    return HEAD.format(sdk=version("clearml"), agent=version("clearml-agent")) + "\n".join(lines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
