"""`retrain`: a run for each new version of the dataset."""

import os
from typing import Annotated

import typer

from pipeline.cli.options import Profile, Set, connect, console, settings
from pipeline.connection import named_server


def retrain(
    profile: Profile = "sample",
    set_: Set = None,
    models: Annotated[str, typer.Option(help="names or positions of the entries to train")] = "",
    every: Annotated[float, typer.Option(help="minutes between two looks for a new version", min=0.01)] = 1.0,
    detach: Annotated[
        bool, typer.Option(help="run as a task of the controllers' queue, where it keeps a worker for itself")
    ] = False,
) -> None:
    """Wait for new versions of the dataset, and start a run on each, until Ctrl-C."""
    config = settings(profile, set_)
    from pipeline.config.parameters import Run, arguments, dump

    told = arguments(config, models=models)
    Run.parse(dump(config), told).check_here(workers_here=named_server(os.environ) is None)
    api = connect(config, start=True)
    from pipeline.dag.launch import require_workers
    from pipeline.tasks.retrain import new_service, scheduler_of

    require_workers(api, config)
    task = new_service(config, told, every)
    console.print(f"service {task.get_output_log_web_page()}")
    console.print(f"waits for new versions of {config.clearml.dataset} in project {config.clearml.project}")
    scheduler = scheduler_of(task)
    if detach:
        scheduler.start_remotely(config.queues.controller)
    try:
        scheduler.start()
    except KeyboardInterrupt:
        console.print("no longer waiting for new versions")
        task.mark_stopped(force=True, status_message="stopped from the terminal")
        raise typer.Exit(130) from None
