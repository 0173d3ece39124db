"""`select`, `experiments`: what has been evaluated, compared by what ClearML knows."""

from typing import Annotated

import typer

from pipeline.cli.options import OUTPUT, Profile, Set, connect_server, console, settings
from pipeline.connection import ROOT

FILE = ROOT / "experiments.md"


def select(
    profile: Profile = "sample",
    set_: Set = None,
    model: Annotated[str, typer.Option(help="name or position of an entry, or ensemble: only of these")] = "",
    task: Annotated[str, typer.Option(help="id or page of an evaluation or plain training: this one")] = "",
    split: Annotated[str, typer.Option(help="the beginning of a split's digest, as shown here")] = "",
) -> None:
    """Put the best of the project's evaluated models into output/best, from any server."""
    config = settings(profile, set_)
    names = [entry.name for entry in config.models]
    api = connect_server(config)
    from pipeline.leaderboard import leaderboard
    from pipeline.runs.install import install_bundle

    boards = leaderboard.leaderboards(api, config.clearml.project)
    named = names[int(model)] if model.isdigit() and int(model) < len(names) else model
    selection = leaderboard.select(api, config.clearml.project, boards, named, task, split)
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
    FILE.write_text(render(api, config.clearml.project, boards), encoding="utf-8")
    console.print(f"wrote   {FILE}, evaluations: {sum(len(board.rows) for board in boards)}")
