"""Checks of what a run needs, each with a fix."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.folders import ROOT
from pipeline.config.parameters import Run, run_arguments
from pipeline.connection import Api, Connection
from pipeline.controller import steps_of
from pipeline.errors import PipelineError
from pipeline.stack.queues import workers_of
from pipeline.stack.stack import Stack
from planets.commands import command
from planets.config.project import Config

DISK_GIGABYTES = 5
"""The sample needs 1 GB with its stores, the real data and a few models 5 GB."""

TEMPORARY_GIGABYTES = 2
"""A dataset on its way to the server needs twice its size: 1.3 GB for the real chips."""


@dataclass(frozen=True)
class Check:
    """Result of one check: its subject, the verdict, the observation, and the fix if it failed."""

    name: str
    good: bool
    seen: str
    remedy: str = ""


def examine(config: Config, stack: Stack, named: Connection | None) -> Iterator[Check]:
    """Yield all checks; those of a server that is not there are left out.

    The imports take most of the time, so they run beside the other checks and come last.
    """
    stages = {
        step.stage: sorted(part for part in step.code.parts if part.startswith(("steps", "planets")))
        for step in steps_of(Run.parse(config, run_arguments(config)))
    }
    words = [sys.executable, "-P", "-c", IMPORT, json.dumps(stages)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd="/", stdout=pipe, stderr=pipe, text=True) as imports:
        yield _python()
        yield from disks(stack)
        yield from _connected(config, stack, named)
        yield from _importable(stages, *imports.communicate())


def _python() -> Check:
    version = sys.version_info
    seen = f"{version.major}.{version.minor}.{version.micro} at {sys.prefix}"
    return Check(
        "python", version >= (3, 11), seen, "install Python 3.11 or newer and run `make setup` again"
    )


def disks(stack: Stack) -> Iterator[Check]:
    """Check each disk once: that of the stack (server, cache), of the checkout, and of temporary files."""
    stack_folder = next(folder for folder in (stack.home, *stack.home.parents) if folder.exists())
    temporary = Path(tempfile.gettempdir())
    # The folder that needs most comes first, and stands for the others on its disk.
    needs = {stack_folder: DISK_GIGABYTES, temporary: TEMPORARY_GIGABYTES, ROOT: 1}
    checked: set[int] = set()
    for folder, gigabytes in needs.items():
        if folder.stat().st_dev not in checked:
            checked.add(folder.stat().st_dev)
            free = shutil.disk_usage(folder).free / 1e9
            seen = f"{free:.1f} GB free in {folder}"
            yield Check("disk", free >= gigabytes, seen, f"free {gigabytes} GB on the disk of {folder}")


IMPORT = """
import importlib, json, sys
for stage, modules in json.loads(sys.argv[1]).items():
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception as error:
        print(json.dumps([stage, f"{type(error).__name__}: {error}"]))
    else:
        print(json.dumps([stage, None]))
"""
"""Imports the modules of each stage, in one process, because torch takes seconds to import."""


def _importable(stages: Iterable[str], printed: str, errors: str) -> Iterator[Check]:
    """Report for each stage if a clean process in another folder, like an agent's, could import its code."""
    seen = dict(json.loads(line) for line in printed.splitlines())
    last = (errors.strip().splitlines() or ["the process ended"])[-1]
    for stage in stages:
        error = seen.get(stage, last)
        yield Check(
            f"step {stage}",
            error is None,
            error or "imports in a clean process",
            "run `make setup`, or fix the named module",
        )


def _connected(config: Config, stack: Stack, named: Connection | None) -> Iterator[Check]:
    """Check the server, named or embedded, and its queues; without one, the ports that it will take."""
    connection = named or stack.connection()
    if connection is None:
        yield from _ports(config)
        yield Check("server", False, "the embedded server does not run", command("up"))
        return
    connection.use()
    yield from _server(config, "named in " + named.origin if named else "embedded")


def _ports(config: Config) -> Iterator[Check]:
    for port in (config.stack.api_port, config.stack.files_port):
        with socket.socket() as probe:
            taken = probe.connect_ex((config.stack.host, port)) == 0
        remedy = "end what listens there, or set stack.api_port and stack.files_port in configs/project.yaml"
        yield Check(f"port {port}", not taken, "taken" if taken else "free", remedy)


def _server(config: Config, origin: str) -> Iterator[Check]:
    try:
        api = Api()
    except PipelineError as error:
        yield Check(
            "server",
            False,
            f"{origin}: {error}",
            "check that it runs and that its address and keys are right",
        )
        return
    yield Check("server", True, f"{api.host} ({origin}); it accepts the keys")
    for queue, workers in workers_of(api, config.queues.names()).items():
        seen = ", ".join(workers) or "no live worker"
        remedy = f"{command('up')}, or `{command('worker', queue)}`"
        yield Check(f"queue {queue}", bool(workers), seen, remedy)
