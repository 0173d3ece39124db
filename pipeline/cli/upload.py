"""`upload`: the dataset into ClearML, without a pipeline."""

from typing import Annotated

import typer

from pipeline.cli.options import DataPath, Profile, Set, Source, connect_server, console, settings


def upload(
    profile: Profile = "sample",
    set_: Set = None,
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="look at the data even if its source is registered")
    ] = False,
) -> None:
    """Register the dataset in ClearML: downloaded, audited and uploaded here, unless it is there already."""
    config = settings(profile, set_, dataset_source, dataset_path)
    # The work is done in this process: no worker is waited for, and none is started.
    api = connect_server(config)
    from pipeline.tasks.upload import dataset_address, upload_dataset

    dataset_id, done = upload_dataset(config, refresh)
    console.print(f"dataset {dataset_address(api, dataset_id)}")
    console.print(f"        {done}")
