"""Processes of the local stack: started in their own sessions, recorded in a file, and ended by it.

A recorded pid may belong to another process later, so the creation time is recorded and compared too.
A process also carries a mark in its environment, which its descendants inherit: a step whose agent was
killed is found by it.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from planets.system import atomic_write

GRACE_SECONDS = 10
"""Time between SIGTERM and SIGKILL."""

END_SECONDS = 20
"""Time for killed processes to disappear."""

MARK = "PLANETS_STARTED_AS"
"""Environment variable `NAME@OWNER` of every started process and of its descendants."""

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
            return process if same and _alive(process) else None
        except psutil.NoSuchProcess:
            return None

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the log."""
        path = Path(self.log)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        return "\n".join(lines[-count:])


def start(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], owner: Path
) -> Process:
    """Start `command` in a session of its own, so that a Ctrl-C in the terminal does not reach it.

    What it writes is private to the user: its log and its files may hold keys.

    Args:
        name: unique among the processes of `owner`.
        command: program and arguments.
        log: file to which its output is appended.
        environment: variables added to those of this process.
        owner: folder of the stack or of the worker that the process belongs to.
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(log, "ab", opener=_open_private) as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment) | {MARK: f"{name}@{owner}"},
            start_new_session=True,
            umask=0o077,
        )
    _children.append(child)
    return Process(name, child.pid, psutil.Process(child.pid).create_time(), str(log))


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def marked(owner: Path) -> dict[str, list[psutil.Process]]:
    """Return the live processes that `owner` started and their descendants, by the name in their mark.

    Never this process, which may run in a step.
    """
    suffix = f"@{owner}"
    members: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
            member = mark.endswith(suffix) and process.pid != os.getpid()
            if member and _alive(process):
                members.setdefault(mark.removesuffix(suffix), []).append(process)
        except psutil.Error:  # another user's, or it has just ended
            continue
    return members


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


def family(process: Process) -> list[psutil.Process]:
    """Return the process and its descendants, the youngest generation last; empty if it has ended."""
    handle = process.handle()
    if handle is None:
        return []
    try:
        return [handle, *handle.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: Iterable[psutil.Process], grace: float = GRACE_SECONDS) -> None:
    """Terminate the processes; kill those alive after `grace` seconds, or at once if that is 0."""
    members = list(dict.fromkeys(processes))
    if grace:
        for member in members:
            _signal(member, signal.SIGTERM)
        members = _wait(members, grace)
    for member in members:
        _signal(member, signal.SIGKILL)
    _wait(members, END_SECONDS)
    _children[:] = [child for child in _children if child.poll() is None]


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended, `seconds` at most; return those still alive."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _alive(process)]) and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=0.1)
    return alive


def _alive(process: psutil.Process) -> bool:
    """Return if the process has not ended. A zombie has: a container without an init never reaps it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
