"""The local stack: the embedded server and this machine's agents, in the folder `.stack`."""

import hashlib
import json
import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from filelock import FileLock, Timeout

from pipeline.config.clearml_conf import conf_text
from pipeline.config.folders import ROOT
from pipeline.connection import FILES, HOST, KEY, SECRET, WEB, Api, Connection
from pipeline.stack import processes
from pipeline.stack.agents import Agent, StackError, gpu_count, is_plain, require_plain, temporary_folder
from pipeline.stack.processes import Process
from planets.commands import command
from planets.config.project import Config, StackSettings
from planets.system import usable_cores

SERVER = "server"
START_SECONDS = 60
"""Time for the server to listen before its start counts as failed."""


def folder(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of a checkout's stack: $PLANETS_STACK, or `.stack` in the checkout.

    Agents cannot live in some paths; the stack of a checkout there is in the user's folder for state.
    """
    if named := environment.get("PLANETS_STACK"):
        return Path(named).resolve()
    if is_plain(root):
        return root / ".stack"
    state = Path(environment.get("XDG_STATE_HOME") or "~/.local/state").expanduser().resolve()
    return state / "planets" / hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


@contextmanager
def locked(file: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a file in a private folder, which is created if necessary.

    Args:
        file: the lock.
        timeout: seconds to wait for another holder; -1 waits for ever.

    Raises:
        Timeout: another process held the lock all the time.
        StackError: the folder cannot be written, or its drive has no locks.
    """
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout)
    except Timeout:
        raise
    # A drive without locks raises NotImplementedError.
    except (OSError, NotImplementedError) as error:
        raise StackError(
            f"the stack cannot write or lock {file}: {error}; name a folder on another drive, "
            "PLANETS_STACK=/some/folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Stack:
    """The stack of one folder."""

    home: Path

    @property
    def _processes(self) -> Path:
        return self.home / "processes.json"

    @property
    def _ready(self) -> Path:
        """File with the addresses of the server, from when it listens."""
        return self.home / SERVER / "server.json"

    @property
    def _configuration(self) -> Path:
        return self.home / "clearml.conf"

    def running(self) -> list[Process]:
        """Return the live processes of the stack."""
        return processes.remembered(self._processes)

    def connection(self) -> Connection | None:
        """Return how to reach the server; None if it does not run, or has not started yet."""
        if not self._ready.exists() or not any(process.name == SERVER for process in self.running()):
            return None
        hosts = [urlsplit(address).hostname or "" for address in self._addresses().values()]
        variables = {"CLEARML_CONFIG_FILE": str(self._configuration)}
        return Connection(f"the embedded server in {self.home}", variables, hosts)

    def up(self, config: Config) -> Connection:
        """Start the processes that do not run yet, and return how to reach the server.

        Agents outlive a crash of their server: once it is back at its address, they continue their steps.

        Raises:
            StackError: the server or an agent ended at once; the message holds the last lines of its log. Or
                the stack's folder is unsuitable.
        """
        if config.stack.workers:
            require_plain(self.home)
        with locked(self.home / "lock"):
            alive = {process.name: process for process in self.running()}
            if SERVER not in alive:
                alive = self._replace_server(config.stack, alive)
            processes.remember(alive.values(), self._processes)
            connection = self.connection()
            if connection is None:
                raise StackError(f"the embedded server ended; its log is {self.home / 'logs' / 'server.log'}")
            connection.use()
            self._start_agents(config, alive)
        return connection

    def _replace_server(self, settings: StackSettings, alive: dict[str, Process]) -> dict[str, Process]:
        """Start the server, and return it with the agents that reach it.

        Living agents know the address of the old one. A port that the settings leave open stays the same;
        if the settings name another address, the agents are ended.
        """
        processes.end(self._members().get(SERVER, []))  # one that no file records holds its ports
        before = self._addresses() if alive else {}
        server = self._start_server(settings, before)
        if before and before != self._addresses():
            self._end_agents()
            alive = {}
        self._configure()
        return {SERVER: server, **alive}

    def _start_agents(self, config: Config, alive: dict[str, Process]) -> None:
        """Create the missing queues and start the missing agents; end the steps of agents that died."""
        # The SDK, which this imports, reads its configuration at that moment.
        from pipeline.stack.queues import create_queues, release

        api = Api()
        create_queues(api, list(config.stack.workers))
        agents = [(queue, index) for queue, count in config.stack.workers.items() for index in range(count)]
        missing = {f"{queue}-{index}": (queue, index) for queue, index in agents}
        missing = {name: place for name, place in missing.items() if name not in alive}
        if not missing:
            return
        left = self._members()
        processes.end(chain.from_iterable(left.get(name, []) for name in missing), grace=0)
        release(api, [self.worker_id(name) for name in missing])
        for name, (queue, index) in missing.items():
            agent = self._agent(config, name, queue, index)
            alive[name] = agent.start(self.home, self.home / "logs" / f"{name}.log", self.home)
            processes.remember(alive.values(), self._processes)

    def _members(self) -> dict[str, list[psutil.Process]]:
        """Return the live processes of the stack by name, with the descendants of living and dead ones."""
        members = processes.marked(self.home)
        for process in self.running():
            members[process.name] = [*processes.family(process), *members.get(process.name, [])]
        return members

    def server_start(self) -> float:
        """Return when the running server started, in seconds since the epoch; 0 if none runs."""
        return next((process.created for process in self.running() if process.name == SERVER), 0.0)

    def workers(self) -> list[str]:
        """Return the worker ids of the running agents."""
        return [self.worker_id(process.name) for process in self.running() if process.name != SERVER]

    def worker_id(self, name: str) -> str:
        """Return the worker id of the agent `name`: unique on a host with several stacks."""
        return f"{socket.gethostname()}-{hashlib.sha256(str(self.home).encode()).hexdigest()[:4]}:{name}"

    def check(self) -> bool:
        """Return True if every started process is alive. Raises StackError naming one that ended."""
        for process in processes.known(self._processes):
            if process.handle() is None:
                raise StackError(f"{process.name} ended; the end of its log:\n{process.last_lines()}")
        return True

    def down(self) -> list[str]:
        """End the agents with the steps that they run, then the server; return the names of what ended."""
        if not self.home.is_dir():
            return []
        with locked(self.home / "lock"):
            ended = self._end_agents()
            server = self._members().get(SERVER, [])
            processes.end(server)
            self._processes.unlink(missing_ok=True)
        return [*ended, SERVER] if server else ended

    def _end_agents(self) -> list[str]:
        """End the agents and all steps, also those whose agent died; return the names of the agents."""
        members = self._members()
        members.pop(SERVER, None)
        processes.end(chain.from_iterable(members.values()))
        for name in members:
            shutil.rmtree(temporary_folder(self.home, name), ignore_errors=True)
        return list(members)

    def exports(self) -> dict[str, str]:
        """Return the environment variables with which any ClearML program uses the running server.

        Raises:
            StackError: the server does not run.
        """
        if self.connection() is None:
            raise StackError(f"the embedded server does not run; start it with `{command('up')}`")
        server, keys = self._server_files()
        return {
            HOST: server["api"],
            WEB: server["web"],
            FILES: server["files"],
            KEY: keys["access_key"],
            SECRET: keys["secret_key"],
        }

    def _addresses(self) -> dict[str, str]:
        """Return the addresses of the server, or of the last one; the file outlives its process."""
        client = json.loads((self.home / SERVER / "clearml.conf").read_text(encoding="utf-8"))["api"]
        return {"api": client["api_server"], "files": client["files_server"]}

    def _server_files(self) -> tuple[dict[str, Any], dict[str, Any]]:
        data = self.home / SERVER
        server = json.loads((data / "server.json").read_text(encoding="utf-8"))
        keys = json.loads((data / "credentials.json").read_text(encoding="utf-8"))
        return server, keys

    def _start_server(self, settings: StackSettings, before: Mapping[str, str]) -> Process:
        """Start the server; a port that the settings leave open is that of the addresses `before`."""
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "server", "--data", str(self.home / SERVER), "--host", settings.host]
        known = {} if settings.public_url else before  # behind a proxy the addresses have the proxy's ports
        for option, port in (("api", settings.api_port), ("files", settings.files_port)):
            command += [f"--{option}-port", str(port or (known and urlsplit(known[option]).port) or 0)]
        command += ["--worker-timeout", str(settings.worker_timeout), "--page-host", settings.page_host]
        command += ["--public-url", settings.public_url, "--public-files-url", settings.public_files_url]
        process = processes.start(SERVER, command, self.home / "logs" / "server.log", {}, self.home)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if process.handle() is None or time.monotonic() > deadline:
                processes.end(processes.family(process))
                raise StackError(f"the embedded server did not start:\n{_explained(process.last_lines())}")
            time.sleep(0.02)
        return process

    def _configure(self) -> None:
        """Write the clearml.conf of the stack; it holds the keys, so only its owner may read it."""
        server, keys = self._server_files()
        settings = {
            "api": {
                "api_server": server["api"],
                "web_server": server["web"],
                "files_server": server["files"],
                "credentials": {"access_key": keys["access_key"], "secret_key": keys["secret_key"]},
            },
            "sdk": {
                "storage": {"cache": {"default_base_dir": str(self.home / "cache")}},
                "development": {
                    # A reporter in a process of its own adds about 10 s to the end of every task.
                    "report_use_subprocess": False,
                    # A program that fails kills the thread that looks at the repository. Where that thread
                    # held the lock of the task, the program would never end.
                    "vcs_repo_detect_async": False,
                    "default_output_uri": server["files"],
                },
            },
            "agent": {"git_user": "", "git_pass": ""},
        }
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(conf_text(settings), encoding="utf-8")

    def _agent(self, config: Config, name: str, queue: str, index: int) -> Agent:
        gpus = gpu_count() if queue == config.queues.train else 0
        device = ["--gpus", str(index % gpus)] if gpus else ["--cpu-only"]
        return Agent(name, queue, device, self.worker_id(name), self._configuration, _threads(config))


def _explained(log: str) -> str:
    """Add the options for other ports to the log of a server whose port is taken."""
    if "cannot listen" not in log:
        return log
    options = "--set stack.api_port=0 --set stack.files_port=0"
    return f'{log}\nend what listens there, or let any free port do: ARGS="{options}"'


def shell_exports(variables: dict[str, str]) -> str:
    """Return the variables as lines for a shell's `eval`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _threads(config: Config) -> int:
    """Return the threads per step, so that the workers without the controllers' use each core once."""
    workers = sum(count for queue, count in config.stack.workers.items() if queue != config.queues.controller)
    return max(1, usable_cores() // max(1, workers))
