"""`train`, `sweep`, `select`, `experiments`, `push`, and the library's own `predict` and `submission`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    OUTPUT,
    DataPath,
    Profile,
    Set,
    Source,
    connect,
    connect_server,
    console,
    settings,
)
from pipeline.config.env_files import local_variables
from pipeline.config.folders import ROOT
from pipeline.connection import named_server
from planets.serving.cli import BundleFolder, predict, submission

__all__ = ["experiments", "predict", "push", "select", "submission", "sweep", "train"]

EXPERIMENTS = ROOT / "experiments.md"


def train(
    profile: Profile = "sample",
    set_: Set = None,
    model: Annotated[str, typer.Option(help="name or position of the entry; the first by default")] = "",
    epochs: Annotated[str, typer.Option(help="instead of the entry's")] = "",
    image_size: Annotated[str, typer.Option(help="pixels a side, instead of the entry's")] = "",
    batch_size: Annotated[str, typer.Option(help="instead of the entry's")] = "",
    learning_rate: Annotated[str, typer.Option(help="instead of the entry's")] = "",
    seed: Annotated[str, typer.Option(help="of the training")] = "",
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    dataset_id: Annotated[str, typer.Option(help="a registered dataset instead of the source")] = "",
) -> None:
    """Train and test one model here, as one ClearML task: no pipeline, no agents."""
    config = settings(profile, set_, dataset_source, dataset_path)
    from pipeline.config.parameters import Run, plain_arguments, with_digests

    numbers = {"epochs": epochs, "image_size": image_size, "batch_size": batch_size, "seed": seed}
    training = {**numbers, "learning_rate": learning_rate}
    edited = plain_arguments(config, model, dataset_id, **training)
    config = with_digests(config, edited["model"])
    run = Run.parse_plain(config, edited)
    run.check_source(workers_here=True)
    api = connect_server(config)
    from pipeline.dag.launch import require_dataset, require_trainable
    from pipeline.tasks.plain_training import train_and_evaluate, training_task

    require_dataset(api, run.dataset_id)
    require_trainable(api, run)
    with training_task(api, config, edited) as task:
        page = task.get_output_log_web_page()
        scores = train_and_evaluate(task, run)
    console.print(f"task    {page}")
    console.print(f"scores  valid_f2 {scores['valid_f2']:.4f}, test_f2 {scores['test_f2']:.4f}")


def sweep(
    ranges: Annotated[
        str, typer.Option(help="learning_rate=1e-4..1e-2 batch_size=32,64, or a YAML file of such lines")
    ],
    profile: Profile = "sample",
    set_: Set = None,
    model: Annotated[str, typer.Option(help="name or position of the entry; the first by default")] = "",
    budget: Annotated[
        float, typer.Option(help="minutes, after which trials that still run are stopped")
    ] = 30,
    trials: Annotated[int, typer.Option(help="most trainings")] = 64,
    strategy: Annotated[str, typer.Option(help="optuna, the default where it is installed, or random")] = "",
    epochs: Annotated[str, typer.Option(help="of every trial, instead of the entry's")] = "",
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    dataset_id: Annotated[str, typer.Option(help="a registered dataset instead of the source")] = "",
) -> None:
    """Search ranges of settings by trainings of one model on the workers, for the best valid_f2."""
    config = settings(profile, set_, dataset_source, dataset_path)
    from clearml import Task

    from pipeline.config.parameters import plain_arguments, with_digests
    from pipeline.config.ranges import read_ranges
    from pipeline.tasks.sweep import HOW_TO_GET_OPTUNA, Sweep, default_strategy, run_sweep, store_sweep

    searched = {
        "ranges": read_ranges(ranges),
        "strategy": strategy or default_strategy(),
        "budget": f"{budget:g}",
        "trials": str(trials),
    }
    if not strategy and default_strategy() == "random":
        console.print(f"random search; Optuna would learn from the trials: {HOW_TO_GET_OPTUNA}")
    config = with_digests(config, plain_arguments(config, model)["model"])
    planned = Sweep.parse(config, searched | plain_arguments(config, model, dataset_id, epochs=epochs))
    planned.run.check_source(workers_here=named_server(os.environ) is None)
    api = connect(config, start=True)
    from pipeline.dag.launch import require_dataset, require_trainable
    from pipeline.stack.queues import require_workers
    from pipeline.tasks.in_process import own_task
    from pipeline.tasks.upload import upload_dataset

    require_dataset(api, dataset_id)
    require_trainable(api, planned.run)
    require_workers(api, config)
    # Registered before the trials, which would each fetch it.
    dataset_id = dataset_id or upload_dataset(api, config).dataset_id
    edited = searched | plain_arguments(config, model, dataset_id, epochs=epochs)
    name = planned.run.models[0].name
    with own_task(api, config, f"sweep {name}", Task.TaskTypes.optimizer, monitored=False) as task:
        store_sweep(task, config, edited)
        page = task.get_output_log_web_page()
        run_sweep(api, task, Sweep.parse(config, edited))
    console.print(f"task    {page}")


def select(
    profile: Profile = "sample",
    set_: Set = None,
    model: Annotated[str, typer.Option(help="name or position of an entry, or ensemble: only of these")] = "",
    task: Annotated[str, typer.Option(help="id or page of an evaluation or plain training: this one")] = "",
    split: Annotated[str, typer.Option(help="the beginning of a split's digest, as shown here")] = "",
) -> None:
    """Put the best of the project's evaluated models into output/best, from any server."""
    config = settings(profile, set_)
    api = connect_server(config)
    from pipeline.config.parameters import model_name
    from pipeline.leaderboard import leaderboard
    from pipeline.runs.outcome import install_bundle

    boards = leaderboard.leaderboards(api, config.clearml.project)
    name = model_name(config, model)
    selection = leaderboard.select(api, config.clearml.project, boards, name, task, split)
    if not (name or task):
        selection = selection.preferred(config.split.seed)
    comparisons = selection.comparisons(config.split.seed)
    leaderboard.show_selection(console, boards, selection, comparisons)
    best = selection.best
    install_bundle(best["task_id"], OUTPUT / "best", comparisons)
    console.print(f"best    {best['model']} (test_f2 {best['test_f2']:.4f}), bundle in {OUTPUT / 'best'}")


def experiments(profile: Profile = "sample", set_: Set = None) -> None:
    """Write experiments.md: every evaluated model with its settings, F2 and links."""
    config = settings(profile, set_)
    api = connect_server(config)
    from pipeline.leaderboard.experiments import render
    from pipeline.leaderboard.leaderboard import leaderboards

    boards = leaderboards(api, config.clearml.project)
    EXPERIMENTS.write_text(render(api, config.clearml.project, boards), encoding="utf-8")
    console.print(f"wrote   {EXPERIMENTS}, evaluations: {sum(len(board.rows) for board in boards)}")


def push(
    repo: Annotated[str, typer.Argument(help="repository on the Hugging Face Hub, as owner/name")] = "",
    bundle: BundleFolder = "output/best",
    public: Annotated[bool, typer.Option(help="make a new repository public, not private")] = False,
) -> None:
    """Push a bundle to the Hugging Face Hub, with its model card as README."""
    if token := local_variables(ROOT).get("HF_TOKEN"):
        os.environ.setdefault("HF_TOKEN", token)
    if not console.is_terminal:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # Imported late: the client reads its variables when it is imported.
    from planets.bundle import hub

    page = hub.push(Path(bundle).expanduser(), repo, public)
    console.print(f"pushed  {bundle} to {page}")
