"""`run`: the whole pipeline."""

import os
from typing import Annotated

import typer

from pipeline.connection import named_server
from pipeline.options import OUTPUT, DataPath, Profile, Set, Source, connect, console, settings


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
) -> None:
    """Run the whole pipeline and put the best model into output/best."""
    config = settings(profile, set_, dataset_source, dataset_path)
    from pipeline.parameters import Run, arguments, dump

    training = {"epochs": epochs, "image_size": image_size, "batch_size": batch_size, "seed": seed}
    told = arguments(config, models=models, refresh=refresh, **training)
    Run.parse(dump(config), told).check_here(workers_here=named_server(os.environ) is None)
    api = connect(config, start=True)
    from pipeline.follow import follow
    from pipeline.launch import require_workers, submit

    require_workers(api, config)
    raise typer.Exit(follow(api, submit(config, told), console, OUTPUT))
