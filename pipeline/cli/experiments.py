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
    from pipeline.leaderboard.choice_tables import show_choice
    from pipeline.leaderboard.leaderboard import choose, contests
    from pipeline.runs.install import install_bundle

    found = contests(api, config.clearml.project)
    named = names[int(model)] if model.isdigit() and int(model) < len(names) else model
    choice = choose(api, config.clearml.project, found, named, task, split)
    comparisons = choice.comparisons(config.split.seed)
    show_choice(console, found, choice, comparisons)
    documents = {
        name: {part: each._asdict() for part, each in parts.items()} for name, parts in comparisons.items()
    }
    install_bundle(choice.best.task_id, OUTPUT / "best", documents)
    console.print(
        f"best    {choice.best.name} (test_f2 {choice.best.test_f2:.4f}), bundle in {OUTPUT / 'best'}"
    )


def experiments(profile: Profile = "sample", set_: Set = None) -> None:
    """Write experiments.md: every evaluated model with its settings, F2 and links."""
    config = settings(profile, set_)
    api = connect_server(config)
    from pipeline.leaderboard.experiments import render
    from pipeline.leaderboard.leaderboard import contests

    found = contests(api, config.clearml.project)
    FILE.write_text(render(api, config.clearml.project, found), encoding="utf-8")
    console.print(f"wrote   {FILE}, evaluations: {sum(len(contest.entries) for contest in found)}")
