"""`run`, `resume`: the whole pipeline, and what is left of a run that did not complete."""

import os
from typing import Annotated

import typer

from pipeline.cli.options import OUTPUT, DataPath, Profile, Set, Source, connect, console, settings
from pipeline.connection import named_server


def run(
    profile: Profile = "sample",
    set_: Set = None,
    models: Annotated[str, typer.Option(help="names or positions of the entries to train")] = "",
    epochs: Annotated[str, typer.Option(help="for every model")] = "",
    image_size: Annotated[str, typer.Option(help="pixels a side, for every model")] = "",
    batch_size: Annotated[str, typer.Option(help="for every model")] = "",
    seed: Annotated[str, typer.Option(help="of every training")] = "",
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    refresh: Annotated[
        str, typer.Option(help="steps to run even if cached, such as split,train_resnet10t")
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", help="the step from which on everything is run anew, such as split")
    ] = "",
    dataset_id: Annotated[
        str, typer.Option(help="a registered version of the dataset to train on, in place of the source")
    ] = "",
) -> None:
    """Run the whole pipeline and put the best model into output/best."""
    config = settings(profile, set_, dataset_source, dataset_path)
    from pipeline.config.parameters import Run, arguments, dump

    training = {"epochs": epochs, "image_size": image_size, "batch_size": batch_size, "seed": seed}
    anew = ",".join(filter(None, (refresh, from_ and f"{from_.removesuffix('+')}+")))
    told = arguments(config, models=models, refresh=anew, dataset_id=dataset_id, **training)
    Run.parse(dump(config), told).check_here(workers_here=named_server(os.environ) is None)
    api = connect(config, start=True)
    from pipeline.dag.launch import require_dataset, require_workers, submit
    from pipeline.runs.follow import follow

    require_dataset(api, dataset_id)
    require_workers(api, config)
    raise typer.Exit(follow(api, submit(config, told), console, OUTPUT))


def resume(
    run: Annotated[str, typer.Argument(help="id of the run; the last one if none is given")] = "",
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Go on with a run that failed or was stopped: only what did not complete runs again."""
    config = settings(profile, set_)
    api = connect(config, start=True)
    from pipeline.dag.launch import enqueue_again, require_workers
    from pipeline.runs.follow import follow, show
    from pipeline.runs.state import chosen_run, read_run

    run_id = chosen_run(api, config.clearml.project, config.clearml.pipeline, run)
    state = read_run(api, run_id)
    if state.good:
        show(api, run_id, console)
        console.print("this run completed: there is nothing to go on with")
        return
    if state.status in ("queued", "in_progress"):
        console.print(f"this run is {state.status} already: it is followed")
    else:
        require_workers(api, config)
        enqueue_again(api, run_id, config.queues.controller)
    raise typer.Exit(follow(api, run_id, console, OUTPUT))
