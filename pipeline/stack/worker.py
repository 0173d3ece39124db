"""Workers: agents in the foreground, one for each GPU, ended together; the systemd unit that starts them."""

import getpass
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from string import Template
from threading import Event

from filelock import Timeout

from pipeline.config.clearml_conf import conf_file, conf_text
from pipeline.config.folders import ROOT, SHARED
from pipeline.errors import PipelineError
from pipeline.stack import processes
from pipeline.stack.agents import Agent, gpu_count, require_plain, temporary_folder
from pipeline.stack.processes import Process
from pipeline.stack.stack import Stack, folder, locked
from planets.system import usable_cores

LOOK_SECONDS = 1.0
"""Interval at which the agents are checked."""

UNIT = SHARED / "deploy" / "systemd" / "planets-worker.service"

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
    def _owner(self) -> Path:
        """Folder that the marks of its processes name."""
        return self._home / self.queue

    @contextmanager
    def agents(
        self, chosen: Sequence[Device], release: Callable[[list[str]], object]
    ) -> Iterator[list[Process]]:
        """Start the agents, and end them with the context.

        Args:
            chosen: device of each agent.
            release: called with the worker ids before the first agent starts: tasks that an earlier worker
                left under these ids, because it was killed, have no process any more.

        Raises:
            WorkerError: this checkout serves the queue already.
            StackError: the stack's folder is unsuitable.
        """
        require_plain(self.stack.home)
        try:
            with locked(self._home / f"{self.queue}.lock", timeout=0):
                self.ready.unlink(missing_ok=True)
                self._end([])
                configuration = self._configure()
                planned = [self._agent(device, configuration, len(chosen)) for device in chosen]
                release([agent.worker_id for agent in planned])
                started: list[Process] = []
                try:
                    # One by one, so that those that started are ended when the next one cannot start.
                    for agent in planned:
                        log = self._home / f"{agent.name}.log"
                        started.append(agent.start(self.stack.home, log, self._owner))
                    yield started
                finally:
                    self.ready.unlink(missing_ok=True)
                    self._end(started)
                    for agent in planned:
                        shutil.rmtree(temporary_folder(self.stack.home, agent.name), ignore_errors=True)
        except Timeout:
            raise WorkerError(
                f"another worker of {self.stack.home} serves the queue {self.queue!r}; end it first, "
                "or give the other one a folder of its own (PLANETS_STACK=/some/folder)"
            ) from None

    def _end(self, agents: Sequence[Process]) -> None:
        """Kill the agents and then their steps, also those that an earlier worker left behind.

        An agent that gets SIGTERM reports its step as aborted by a person, and then no other worker takes it.
        """
        families = [processes.family(agent) for agent in agents]
        parents = [family[0] for family in families if family]
        left = processes.marked(self._owner).values()
        processes.end(chain(parents, *families, *left), grace=0)

    def worker_id(self, agent: Process) -> str:
        """Return the worker id of an agent."""
        return self.stack.worker_id(agent.name)

    def _configure(self) -> Path:
        """Write the agents' clearml.conf: SETTINGS over the one in force, which may hold keys."""
        inherited = conf_file(os.environ)
        path = self._home / f"{self.queue}.conf"
        path.write_text(conf_text(SETTINGS, inherited if inherited.is_file() else None), encoding="utf-8")
        return path

    def _agent(self, device: Device, configuration: Path, agents: int) -> Agent:
        name = f"{self.queue}-{device.name}"
        threads = max(1, usable_cores() // agents)
        return Agent(name, self.queue, device.options, self.stack.worker_id(name), configuration, threads)


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
        folder=str(ROOT).replace("%", "%%"),  # a line of one path, which takes no quotes
        stack=_unit_word(f"PLANETS_STACK={folder()}"),
        command=" ".join(map(_unit_word, [*command, "--count", str(count)])),
        configuration=_unit_word(f"CLEARML_CONFIG_FILE={conf_file(os.environ)}"),
    )


def _unit_word(value: str) -> str:
    """Return a word of a systemd unit: `%` doubled, and in quotes unless it is plain."""
    text = value.replace("%", "%%")
    if re.fullmatch(r"[\w./:,=%+@-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
