"""`up`, `down`, `env`, `worker`, `doctor`: the embedded server, this machine's workers, and their checks."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.options import Profile, Set, connect, console, settings
from pipeline.connection import Api, named_server
from pipeline.errors import PipelineError
from pipeline.stack.processes import Process, remember
from pipeline.stack.stack import Stack, folder, shell_exports
from pipeline.stack.worker import Device, Worker, check, devices, unit, watch
from planets.config.project import Config


def up(profile: Profile = "sample", set_: Set = None) -> None:
    """Start the embedded server and this machine's agents, as far as they do not run yet."""
    named = named_server(os.environ)
    if named:
        raise PipelineError(
            f"{named.origin} names a server: nothing is started here, that server's workers run the steps"
        )
    config = settings(profile, set_)
    api = connect(config, start=True)
    _take_up(api, config, Stack(folder()).workers())
    for process in Stack(folder()).running():
        console.print(f"{process.name:12} pid {process.pid:<8} {process.log}")


def down() -> None:
    """Stop the embedded server, the agents and the steps that they run."""
    ended = Stack(folder()).down()
    console.print(f"ended: {', '.join(ended) or 'nothing ran'}")


def env() -> None:
    """Print the exports with which any ClearML program uses the embedded server."""
    sys.stdout.write(shell_exports(Stack(folder()).exports()) + "\n")


def worker(
    queue: Annotated[str, typer.Option(help="run steps from this queue")],
    gpus: Annotated[
        str, typer.Option(help="auto, all, none, or numbers such as 0,1: a worker for each")
    ] = "auto",
    count: Annotated[int, typer.Option(min=1, max=64, help="number of workers on the CPU")] = 1,
    systemd: Annotated[bool, typer.Option("--systemd", help="print a unit that does this at boot")] = False,
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Make this machine a worker of the named or the embedded server, until Ctrl-C."""
    if systemd:
        typer.echo(unit(queue, gpus, count), nl=False)
        return
    chosen = devices(gpus, count)
    config = settings(profile, set_)
    api = connect(config, start=False)
    _serve(api, config, Worker(Stack(folder()), queue), chosen)


def _take_up(api: Api, config: Config, workers: Sequence[str]) -> None:
    from pipeline.dag.launch import take_up_runs

    for run in take_up_runs(api, config, workers):
        console.print(f"run     {run} lost its controller's worker: it is enqueued again")


def _serve(api: Api, config: Config, worker: Worker, chosen: Sequence[Device]) -> None:
    from pipeline.stack.queues import await_workers, create_queues, held_tasks, release, sign_off

    create_queues(api, [worker.queue])
    # Ctrl-C; systemd and containers send the other one.
    ends = (signal.SIGINT, signal.SIGTERM)
    with api.interrupts(*ends) as asked, worker.agents(chosen, partial(release, api)) as agents:
        names = [worker.worker_id(agent) for agent in agents]
        for name, agent in zip(names, agents, strict=True):
            console.print(f"worker  {name}  on {_device(agent)}, log {agent.log}")
        with suppress(KeyboardInterrupt):
            await_workers(api, names, lambda: check(agents) and not asked.is_set())
            if worker.queue == config.queues.controller:
                _take_up(api, config, names)
        if not asked.is_set():
            remember(agents, worker.ready)
            console.print(f"ready   takes steps from the queue {worker.queue!r}; Ctrl-C ends it")
        watch(agents, asked)
        console.print("ending ...")
    # Their steps have ended, so nothing keeps running here if the server does not answer.
    api = Api()
    for task in sign_off(api, names, held_tasks(api, names)):
        console.print(f"task {task} was not finished: another worker takes it over")
    if worker.queue == config.queues.controller:
        _take_up(api, config, names)


def _device(agent: Process) -> str:
    device = agent.name.rpartition("-")[2]
    return "the CPU" if device.startswith("cpu") else device


def doctor(profile: Profile = "sample", set_: Set = None) -> None:
    """Check Python, disk, ports, server, keys, workers and steps; each failed check prints a fix."""
    config = settings(profile, set_)
    from pipeline.stack.doctor import examine

    failed = 0
    for result in examine(config, Stack(folder()), named_server(os.environ)):
        failed += not result.good
        mark = "[green]ok  [/green]" if result.good else "[red]FAIL[/red]"
        console.print(f"{mark} {result.name:16} {escape(result.seen)}")
        if not result.good:
            console.print(f"     {'':16} -> {escape(result.remedy)}")
    raise typer.Exit(1 if failed else 0)
