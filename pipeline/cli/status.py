"""`status`, `doctor`: how things are."""

import os

import typer
from rich.markup import escape

from pipeline.cli.options import Profile, Set, connect, console, settings
from pipeline.connection import named_server
from pipeline.stack.stack import Stack, folder


def status(profile: Profile = "sample", set_: Set = None) -> None:
    """Show what runs on this machine, and the last run: each step, its state, and why it ran."""
    config = settings(profile, set_)
    for process in Stack(folder()).running():
        console.print(f"{process.name:12} pid {process.pid:<8} {process.log}")
    api = connect(config, start=False)
    from pipeline.runs.follow import show
    from pipeline.runs.state import last_run

    run_id = last_run(api, config.clearml.project, config.clearml.pipeline)
    if run_id is None:
        console.print("no run yet: make train.pipeline")
        return
    show(api, run_id, console)


def doctor(profile: Profile = "sample", set_: Set = None) -> None:
    """Check what a run needs: Python, disk, ports, server, keys, workers, steps; a remedy for each."""
    config = settings(profile, set_)
    from pipeline.stack.doctor import examine

    sick = 0
    for check in examine(config, Stack(folder()), named_server(os.environ)):
        sick += not check.good
        mark = "[green]ok  [/green]" if check.good else "[red]FAIL[/red]"
        console.print(f"{mark} {check.name:16} {escape(check.seen)}")
        if not check.good:
            console.print(f"     {'':16} -> {escape(check.remedy)}")
    raise typer.Exit(1 if sick else 0)
