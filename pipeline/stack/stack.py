"""The local stack: the embedded server and this machine's agents, in the folder `.stack`."""

import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.connection import FILES, HOST, KEY, ROOT, SECRET, WEB, Api, Connection
from pipeline.errors import PipelineError
from pipeline.stack import processes
from pipeline.stack.processes import Process
from planets.config.project import Config, StackSettings
from planets.system import usable_cores

SERVER = "server"
START_SECONDS = 60
"""Time for the server to listen before its start counts as failed."""

NVIDIA_SECONDS = 60
"""Time for nvidia-smi to answer; without persistence mode it first loads the driver, for some seconds."""

AGENT_SETTINGS = {
    # Steps run in the agent's own environment; installing another would take minutes per step.
    "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
    # Poll queues twice a second; the default of 5 s would delay every step.
    "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.5",
    "PYTHONUNBUFFERED": "1",
}


class StackError(PipelineError):
    """The local stack (embedded server and agents) could not be started or stopped."""


def folder() -> Path:
    """Return the folder of the stack: `.stack` in the checkout, or $PLANETS_STACK."""
    return Path(os.environ.get("PLANETS_STACK") or ROOT / ".stack").resolve()


@dataclass(frozen=True)
class Stack:
    """The stack of one folder."""

    home: Path

    @property
    def _processes(self) -> Path:
        return self.home / "processes.json"

    @property
    def _configuration(self) -> Path:
        return self.home / "clearml.conf"

    def running(self) -> list[Process]:
        """Return the live processes of the stack."""
        return processes.remembered(self._processes)

    def connection(self) -> Connection | None:
        """Return how to reach the server; None if it does not run."""
        if not any(process.name == SERVER for process in self.running()):
            return None
        return Connection(
            f"the embedded server in {self.home}", {"CLEARML_CONFIG_FILE": str(self._configuration)}
        )

    def up(self, config: Config) -> Connection:
        """Start the processes that do not run yet, and return how to reach the server.

        Raises:
            StackError: the server or an agent ended at once; the message holds the last lines of its log.
        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self.home / "lock"):
            alive = {process.name: process for process in self.running()}
            if SERVER not in alive:
                processes.end(list(alive.values()))  # agents of a server that is gone
                alive = {SERVER: self._start_server(config.stack)}
                processes.remember(alive.values(), self._processes)
                self._configure()
            self._create_queues(list(config.stack.workers))
            for queue, count in config.stack.workers.items():
                for index in range(count):
                    name = f"{queue}-{index}"
                    if name not in alive:
                        alive[name] = self._start_agent(config, queue, index)
                        processes.remember(alive.values(), self._processes)
        connection = self.connection()
        if connection is None:
            raise StackError(f"the embedded server ended; its log is {self.home / 'logs' / 'server.log'}")
        return connection

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

    def down(self) -> list[Process]:
        """End the agents with the steps that they run, then the server; return the ended processes."""
        if not self.home.is_dir():
            return []
        with FileLock(self.home / "lock"):
            alive = self.running()
            processes.end([process for process in alive if process.name != SERVER])
            processes.end([process for process in alive if process.name == SERVER])
            self._processes.unlink(missing_ok=True)
        return alive

    def exports(self) -> dict[str, str]:
        """Return the environment variables with which any ClearML program uses the running server.

        Raises:
            StackError: the server does not run.
        """
        if self.connection() is None:
            raise StackError("the embedded server does not run; start it with `make up`")
        server, keys = self._server_files()
        return {
            HOST: server["api"],
            WEB: server["web"],
            FILES: server["files"],
            KEY: keys["access_key"],
            SECRET: keys["secret_key"],
        }

    def link(self) -> str:
        """Return a one-time link to the page. Raises StackError if the server makes none."""
        command = [sys.executable, "-m", "server", "link", "--data", str(self.home / SERVER)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"no link to the page: {done.stderr.strip()}")
        return done.stdout.strip()

    def _server_files(self) -> tuple[dict[str, Any], dict[str, Any]]:
        data = self.home / SERVER
        server = json.loads((data / "server.json").read_text(encoding="utf-8"))
        keys = json.loads((data / "credentials.json").read_text(encoding="utf-8"))
        return server, keys

    def _start_server(self, settings: StackSettings) -> Process:
        ready = self.home / SERVER / "server.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "server", "--data", str(self.home / SERVER), "--host", settings.host]
        command += ["--api-port", str(settings.api_port), "--files-port", str(settings.files_port)]
        command += ["--worker-timeout", str(settings.worker_timeout)]
        process = processes.start(SERVER, command, self.home / "logs" / "server.log", {})
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.handle() is None or time.monotonic() > deadline:
                processes.end([process])
                raise StackError(f"the embedded server did not start:\n{process.last_lines()}")
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
                    "default_output_uri": server["files"],
                },
            },
            "agent": {"venvs_dir": str(self.home / "agent" / "venvs"), "git_user": "", "git_pass": ""},
        }
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(json.dumps(settings, indent=1), encoding="utf-8")

    def _create_queues(self, names: list[str]) -> None:
        """Create the missing queues."""
        Connection("", {"CLEARML_CONFIG_FILE": str(self._configuration)}).use()
        # The SDK, which this imports, reads its configuration at that moment.
        from pipeline.stack.queues import create_queues

        create_queues(Api(), names)

    def _start_agent(self, config: Config, queue: str, index: int) -> Process:
        name = f"{queue}-{index}"
        gpus = gpu_count() if queue == config.queues.train else 0
        device = ["--gpus", str(index % gpus)] if gpus else ["--cpu-only"]
        command = [sys.executable, "-m", "clearml_agent", "daemon", "--queue", queue]
        environment = AGENT_SETTINGS | {
            "CLEARML_CONFIG_FILE": str(self._configuration),
            "CLEARML_WORKER_ID": self.worker_id(name),
            # Not in the foreground, where an idle agent prints four lines a second for as long as it lives.
            "CLEARML_AGENT_TEMP_STDOUT_FILE_DIR": str(self.home / "logs"),
            "OMP_NUM_THREADS": str(_threads(config)),
        }
        return processes.start(name, [*command, *device], self.home / "logs" / f"{name}.log", environment)


def shell_exports(variables: dict[str, str]) -> str:
    """Return the variables as lines for a shell's `eval`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def gpu_count() -> int:
    """Return the number of NVIDIA GPUs of this machine or container, as `nvidia-smi` lists them.

    Raises:
        StackError: nvidia-smi is installed and does not answer, so the number is unknown.
    """
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        listing = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=NVIDIA_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`nvidia-smi -L` did not answer within {NVIDIA_SECONDS} s") from error
    # Without a driver or a device it fails; a machine may have the tool and no GPU.
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def _threads(config: Config) -> int:
    """Return the threads per step, so that the workers without the controllers' use each core once."""
    workers = sum(count for queue, count in config.stack.workers.items() if queue != config.queues.controller)
    return max(1, usable_cores() // max(1, workers))
