"""A server that others run: no watchdog of ours, default time-outs, and agents that no command started."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import psutil
import yaml
from support.checkouts import Checkout
from support.embedded import Embedded, agent, running, wait_for

NAMES = ("CLEARML_API_HOST", "CLEARML_WEB_HOST", "CLEARML_FILES_HOST")
KEYS = ("CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY")


@dataclass
class OtherServer:
    """The server and its agents, by name."""

    server: Embedded
    folder: Path
    ends: ExitStack
    agents: dict[str, Popen[bytes]] = field(default_factory=dict)

    @property
    def exports(self) -> dict[str, str]:
        """The environment variables that name the server to a command."""
        return {name: self.environment[name] for name in (*NAMES, *KEYS)}

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        return self.server.environment(self.folder / "agents") | own

    def start_agent(self, name: str, queue: str) -> None:
        """Start an agent, and wait until the server lists it without a task."""
        log = self.folder / f"{name}.log"
        worker = f"elsewhere:{name}"
        self.agents[name] = self.ends.enter_context(agent(self.environment, worker, queue, log))
        wait_for(lambda: self.tasks().get(worker, "not listed") is None, f"the agent {name}")

    def kill_agent(self, name: str) -> None:
        """Kill an agent and what it runs, as a power cut does."""
        process = psutil.Process(self.agents.pop(name).pid)
        for victim in [process, *process.children(recursive=True)]:
            victim.kill()

    def tasks(self) -> dict[str, str | None]:
        """The task of each listed worker, by worker."""
        workers = self.server.call("workers.get_all").data["workers"]
        return {worker["id"]: (worker["task"] or {}).get("id") for worker in workers}


@contextmanager
def other_server(trained: Checkout) -> Iterator[OtherServer]:
    """The data of a checkout that has had a run, served without a watchdog, with three agents."""
    stack = yaml.safe_load((trained.folder / "configs" / "project.yaml").read_text())["stack"]
    ports = ["--api-port", str(stack["api_port"]), "--files-port", str(stack["files_port"])]
    with (
        running(trained.stack / "server", *ports, "--worker-timeout", "0") as server,
        ExitStack() as ends,
    ):
        served = OtherServer(server, trained.folder, ends)
        for name, queue in (("services", "services"), ("cpu-0", "cpu"), ("cpu-1", "cpu")):
            served.start_agent(name, queue)
        yield served
