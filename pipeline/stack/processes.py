"""Processes of the local stack: started in their own sessions, recorded in a file, and ended by it.

A recorded pid may belong to another process later, so the creation time is recorded and compared too.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from planets.system import atomic_write

GRACE_SECONDS = 10
"""Time between SIGTERM and SIGKILL."""

_children: list[subprocess.Popen[bytes]] = []
"""Children of this process: subprocess warns if one is garbage-collected while it runs."""


@dataclass(frozen=True)
class Process:
    """One process that the stack started. `name` is unique among them; `log` holds what it prints."""

    name: str
    pid: int
    created: float
    log: str

    def handle(self) -> psutil.Process | None:
        """Return the live process; None if it has ended, even if its pid is in use again."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 0.1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the log."""
        path = Path(self.log)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        return "\n".join(lines[-count:])


def start(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
    """Start `command` in a session of its own, so that a Ctrl-C in the terminal does not reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment),
            start_new_session=True,
        )
    _children.append(child)
    return Process(name, child.pid, psutil.Process(child.pid).create_time(), str(log))


def remember(processes: Iterable[Process], file: Path) -> None:
    """Record the processes in `file`, whole or not at all."""
    with atomic_write(file) as partial:
        partial.write_text(json.dumps([asdict(process) for process in processes], indent=1), encoding="utf-8")


def known(file: Path) -> list[Process]:
    """Return the recorded processes, dead ones too."""
    if not file.is_file():
        return []
    return [Process(**fields) for fields in json.loads(file.read_text(encoding="utf-8"))]


def remembered(file: Path) -> list[Process]:
    """Return the recorded processes that are alive."""
    return [process for process in known(file) if process.handle()]


def end(processes: Sequence[Process]) -> None:
    """Terminate the processes and their descendants; kill those alive after `GRACE_SECONDS`."""
    family = [member for process in processes for member in _family(process)]
    for member in family:
        _signal(member, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=GRACE_SECONDS)
    for member in alive:
        _signal(member, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    _children[:] = [child for child in _children if child.poll() is None]


def _family(process: Process) -> list[psutil.Process]:
    """Return the process and its descendants, the youngest generation last."""
    handle = process.handle()
    if handle is None:
        return []
    try:
        return [handle, *handle.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
