"""`upload`, `retrain`: the dataset in ClearML, and runs on its new versions."""

import os
from typing import Annotated

import typer

from pipeline.cli.options import DataPath, Profile, Set, Source, connect, connect_server, console, settings
from pipeline.connection import named_server
from pipeline.errors import INTERRUPTED


def upload(
    profile: Profile = "sample",
    set_: Set = None,
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="read the data even if its source is registered")
    ] = False,
) -> None:
    """Download, audit and register the dataset in ClearML, unless it is registered already."""
    config = settings(profile, set_, dataset_source, dataset_path)
    # This process does the work, so no workers are started.
    api = connect_server(config)
    from pipeline.tasks.upload import dataset_address, upload_dataset

    dataset_id, outcome = upload_dataset(api, config, refresh)
    console.print(f"dataset {dataset_address(api, dataset_id)}")
    console.print(f"        {outcome}")


def retrain(
    profile: Profile = "sample",
    set_: Set = None,
    models: Annotated[str, typer.Option(help="names or positions of the entries to train")] = "",
    every: Annotated[float, typer.Option(help="minutes between checks for a new version", min=0.01)] = 1.0,
    detach: Annotated[
        bool, typer.Option(help="run as a task on the controllers' queue, where it occupies a worker")
    ] = False,
) -> None:
    """Wait for new versions of the dataset, and start a run on each, until Ctrl-C."""
    config = settings(profile, set_)
    from pipeline.config.parameters import Run, run_arguments, with_digests

    edited = run_arguments(config, models=models)
    config = with_digests(config, edited["models"])
    planned = Run.parse(config, edited)
    planned.check_source(workers_here=named_server(os.environ) is None)
    api = connect(config, start=True)
    from pipeline.dag.launch import require_trainable
    from pipeline.stack.queues import require_workers
    from pipeline.tasks.in_process import exit_if_unreachable
    from pipeline.tasks.retrain import new_service, scheduler_of

    require_trainable(api, planned)
    require_workers(api, config)
    task = new_service(config, edited, every)
    console.print(f"service {task.get_output_log_web_page()}")
    console.print(f"waits for new versions of {config.clearml.dataset} in project {config.clearml.project}")
    scheduler = scheduler_of(task)
    if detach:
        scheduler.start_remotely(config.queues.controller)
    try:
        scheduler.start()
    except KeyboardInterrupt:
        console.print("no longer waiting for new versions")
        exit_if_unreachable(api, task)
        task.mark_stopped(force=True, status_message="stopped from the terminal")
        raise typer.Exit(INTERRUPTED) from None
