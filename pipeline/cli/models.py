"""`train`, `select`, `experiments`, and the library's own `predict` and `submission`."""

from typing import Annotated

import typer

from pipeline.cli.options import OUTPUT, DataPath, Profile, Set, Source, connect_server, console, settings
from pipeline.connection import ROOT
from planets.serving.cli import predict, submission

__all__ = ["experiments", "predict", "select", "submission", "train"]

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
    from pipeline.config.parameters import Run, plain_arguments

    numbers = {"epochs": epochs, "image_size": image_size, "batch_size": batch_size, "seed": seed}
    training = {**numbers, "learning_rate": learning_rate}
    edited = plain_arguments(config, model, dataset_id, **training)
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
