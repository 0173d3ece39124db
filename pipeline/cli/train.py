"""`train`: one model in one task, without a pipeline."""

from typing import Annotated

import typer

from pipeline.cli.options import DataPath, Profile, Set, Source, connect_server, console, settings

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def train(
    profile: Profile = "sample",
    set_: Set = None,
    model: Annotated[str, typer.Option(help="name or position of the entry; without it the first")] = "",
    epochs: Annotated[str, typer.Option(help="in place of the entry's")] = "",
    image_size: Annotated[str, typer.Option(help="pixels a side, in place of the entry's")] = "",
    batch_size: Annotated[str, typer.Option(help="in place of the entry's")] = "",
    seed: Annotated[str, typer.Option(help="of the training")] = "",
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    dataset_id: Annotated[str, typer.Option(help="a registered dataset, in place of the source")] = "",
) -> None:
    """Train and test one model here, as one ClearML task: no pipeline, no agents."""
    config = settings(profile, set_, dataset_source, dataset_path)
    from pipeline.config.parameters import dump
    from pipeline.tasks.single_parameters import arguments, parse

    training = {"epochs": epochs, "image_size": image_size, "batch_size": batch_size, "seed": seed}
    told = arguments(config, model, dataset_id, **training)
    run = parse(dump(config), told)
    run.check_here(workers_here=True)
    api = connect_server(config)
    from pipeline.dag.launch import require_dataset
    from pipeline.tasks import plain_training as single

    require_dataset(api, run.dataset_id)
    try:
        with single.own_task(api, config, told) as task:
            page = task.get_output_log_web_page()
            found = single.train_and_evaluate(run)
    except single.Interrupted:
        console.print("stopped by Ctrl-C, and so is the task")
        raise typer.Exit(INTERRUPTED) from None
    console.print(f"task    {page}")
    console.print(f"scores  valid_f2 {found['valid_f2']:.4f}, test_f2 {found['test_f2']:.4f}")
