"""Workers: agents in the foreground, one for each GPU, ended together; the systemd unit that starts them."""

import getpass
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from threading import Event

import psutil
from filelock import FileLock, Timeout

from pipeline.connection import ROOT
from pipeline.errors import PipelineError
from pipeline.stack import processes
from pipeline.stack.processes import Process
from pipeline.stack.stack import AGENT_SETTINGS, Stack, folder, gpu_count
from planets.system import usable_cores

END_SECONDS = 20
"""Time for killed processes to disappear."""

LOOK_SECONDS = 1.0
"""Interval at which the agents are checked."""

UNIT = ROOT / "deploy" / "systemd" / "planets-worker.service"

SETTINGS = {
    # A reporter in a process of its own adds about 10 s to the end of every task.
    "sdk.development.report_use_subprocess": False,
}
"""ClearML settings of a worker's steps, over those of the user who started it."""


class WorkerError(PipelineError):
    """This machine could not become a worker, or stopped being one."""


@dataclass(frozen=True)
class Device:
    """Device of one agent: a GPU, or the CPU."""

    name: str
    options: tuple[str, ...]


def devices(gpus: str, count: int) -> list[Device]:
    """Return the device of each agent.

    Args:
        gpus: `auto`, `all`, `none` or numbers such as `0,1`.
        count: number of agents on the CPU; 1 with GPUs.

    Raises:
        WorkerError: this machine lacks the GPUs, or a GPU would get more than one agent.
    """
    available = 0 if gpus == "none" else gpu_count()
    if gpus == "none" or (gpus == "auto" and not available):
        return [Device(f"cpu{index}", ("--cpu-only",)) for index in range(count)]
    if count != 1:
        raise WorkerError(f"--count {count} is for workers without a GPU (--gpus none); a GPU has one worker")
    numbers = range(available) if gpus in ("auto", "all") else _numbers(gpus)
    missing = [str(number) for number in numbers if number >= available]
    if missing or not available:
        raise WorkerError(
            f"--gpus {gpus}: this machine has {available} NVIDIA GPUs, as `nvidia-smi -L` lists them; "
            "start the container with its GPUs (`--gpus all`), or give --gpus none"
        )
    return [Device(f"gpu{number}", ("--gpus", str(number))) for number in numbers]


def _numbers(gpus: str) -> list[int]:
    try:
        return sorted({int(part) for part in gpus.split(",")})
    except ValueError:
        raise WorkerError(f"--gpus {gpus!r}: give all, none, auto, or numbers such as 0,1") from None


@dataclass(frozen=True)
class Worker:
    """The agents of one queue on this machine; their files are in the stack's folder."""

    stack: Stack
    queue: str

    @property
    def _home(self) -> Path:
        return self.stack.home / "workers"

    @property
    def ready(self) -> Path:
        """File that exists while the server knows all agents."""
        return self._home / f"{self.queue}.json"

    @property
    def _temporary(self) -> Path:
        """Folder of the temporary files of agents and steps, which hold keys: deleted with the worker."""
        return self._home / f"{self.queue}.tmp"

    @contextmanager
    def agents(self, chosen: Sequence[Device]) -> Iterator[list[Process]]:
        """Start the agents, and end them with the context.

        Raises:
            WorkerError: this checkout serves the queue already.
        """
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with FileLock(self._home / f"{self.queue}.lock", timeout=0):
                self.ready.unlink(missing_ok=True)
                started: list[Process] = []
                shutil.rmtree(self._temporary, ignore_errors=True)
                self._temporary.mkdir(mode=0o700)
                try:
                    configuration = self._configure()
                    # One by one, so that those that started are ended when the next one cannot start.
                    started.extend(self._start(device, configuration, len(chosen)) for device in chosen)
                    yield started
                finally:
                    self.ready.unlink(missing_ok=True)
                    end(started)
                    shutil.rmtree(self._temporary)
        except Timeout:
            raise WorkerError(
                f"another worker of {self.stack.home} serves the queue {self.queue!r}; end it first, "
                "or give the other one a folder of its own (PLANETS_STACK=/some/folder)"
            ) from None

    def worker_id(self, agent: Process) -> str:
        """Return the worker id of an agent."""
        return self.stack.worker_id(agent.name)

    def _configure(self) -> Path:
        """Write the agents' clearml.conf: SETTINGS over the one in force, which may hold keys."""
        inherited = Path(os.environ.get("CLEARML_CONFIG_FILE", "~/clearml.conf")).expanduser()
        lines = [f"include file({json.dumps(str(inherited))})"] if inherited.is_file() else []
        lines += [f"{name}: {json.dumps(value)}" for name, value in SETTINGS.items()]
        path = self._home / f"{self.queue}.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _start(self, device: Device, configuration: Path, agents: int) -> Process:
        name = f"{self.queue}-{device.name}"
        command = [sys.executable, "-m", "clearml_agent", "daemon", "--queue", self.queue, *device.options]
        environment = AGENT_SETTINGS | {
            "CLEARML_CONFIG_FILE": str(configuration),
            "CLEARML_WORKER_ID": self.stack.worker_id(name),
            "TMPDIR": str(self._temporary),
            "OMP_NUM_THREADS": str(max(1, usable_cores() // agents)),
        }
        return processes.start(name, command, self._home / f"{name}.log", environment)


def end(agents: Sequence[Process]) -> None:
    """Kill the agents and then their steps.

    An agent that gets SIGTERM reports its step as aborted by a person, and then no other worker takes it.
    """
    handles = [handle for agent in agents if (handle := agent.handle())]
    steps = [child for handle in handles for child in handle.children(recursive=True)]
    for process in [*handles, *steps]:
        if process.is_running():
            process.kill()
    psutil.wait_procs([*handles, *steps], timeout=END_SECONDS)


@contextmanager
def asked_to_end() -> Iterator[Event]:
    """Yield an event that Ctrl-C and SIGTERM set; systemd and containers send the latter."""
    asked = Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: asked.set()) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def check(agents: Sequence[Process]) -> bool:
    """Return True if all agents are alive. Raises WorkerError naming one that ended by itself."""
    for agent in agents:
        if agent.handle() is None:
            raise WorkerError(f"the agent {agent.name} ended; the end of its log:\n{agent.last_lines()}")
    return True


def watch(agents: Sequence[Process], asked: Event) -> None:
    """Wait for the event. Raises WorkerError when an agent ends by itself."""
    while not asked.wait(LOOK_SECONDS):
        check(agents)


def unit(queue: str, gpus: str, count: int) -> str:
    """Return the systemd unit that starts this worker at boot, for this checkout, Python and user."""
    command = [sys.executable, "-m", "pipeline", "worker", "--queue", queue, "--gpus", gpus]
    return Template(UNIT.read_text(encoding="utf-8")).substitute(
        queue=queue,
        user=getpass.getuser(),
        folder=ROOT,
        stack=folder(),
        command=" ".join([*command, "--count", str(count)]),
        configuration=os.environ.get("CLEARML_CONFIG_FILE", str(Path.home() / "clearml.conf")),
    )
