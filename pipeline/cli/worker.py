"""`worker`: this machine as a worker of a server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Profile, Set, connect, console, settings
from pipeline.stack.processes import Process, remember
from pipeline.stack.stack import Stack, folder
from pipeline.stack.systemd import unit
from pipeline.stack.worker import Device, Worker, asked_to_end, check, devices, watch

if TYPE_CHECKING:
    from pipeline.api import Api


def worker(
    queue: Annotated[str, typer.Option(help="the queue whose steps this machine is to run")],
    gpus: Annotated[
        str, typer.Option(help="auto, all, none, or numbers such as 0,1: a worker for each")
    ] = "auto",
    count: Annotated[int, typer.Option(min=1, max=64, help="workers, where no GPU is used")] = 1,
    systemd: Annotated[bool, typer.Option("--systemd", help="print a unit that does this at boot")] = False,
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Make this machine a worker of the server that is named, or of the embedded one; until Ctrl-C."""
    if systemd:
        typer.echo(unit(queue, gpus, count), nl=False)
        return
    chosen = devices(gpus, count)
    api = connect(settings(profile, set_), start=False)
    _serve(api, Worker(Stack(folder()), queue), chosen)


def _serve(api: "Api", worker: Worker, chosen: Sequence[Device]) -> None:
    from pipeline.api import Api
    from pipeline.dag.launch import await_workers, create_queues, held_tasks, sign_off

    create_queues(api, [worker.queue])
    with asked_to_end() as asked, worker.agents(chosen) as agents:
        names = [worker.worker_id(agent) for agent in agents]
        for name, agent in zip(names, agents, strict=True):
            console.print(f"worker  {name}  on {_device(agent)}, log {agent.log}")
        await_workers(api, names, lambda: check(agents) and not asked.is_set())
        remember(agents, worker.ready)
        console.print(f"ready   takes steps from the queue {worker.queue!r}; Ctrl-C ends it")
        watch(agents, asked)
        console.print("ending ...")
    # Their steps have ended now, so a server that does not answer keeps nothing running here.
    api = Api()
    for task in sign_off(api, names, held_tasks(api, names)):
        console.print(f"task {task} was not finished: another worker goes on with it")


def _device(agent: Process) -> str:
    device = agent.name.rpartition("-")[2]
    return "the CPU" if device.startswith("cpu") else device
