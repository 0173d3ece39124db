"""`logs`: what a step prints."""

import sys
from typing import Annotated

import typer

from pipeline.cli.options import Profile, Set, connect, settings


def logs(
    step: Annotated[str, typer.Argument(help="such as train_resnet10t, or controller")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the step has ended")] = False,
    run: Annotated[str, typer.Option(help="id of the run; the last one if none is given")] = "",
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Print the console of a step, or of the controller; the exit code is 1 if it failed or was stopped."""
    config = settings(profile, set_)
    api = connect(config, start=False, quiet=True)
    from pipeline.runs.logs import lines, require_step
    from pipeline.runs.state import chosen_run

    run_id = chosen_run(api, config.clearml.project, config.clearml.pipeline, run)
    found = require_step(api, run_id, step)
    if found.cached:
        typer.echo(f"{step} came from the cache: this is the console of task {found.task_id}", err=True)
    try:
        for text in lines(api, run_id, step, follow):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # the reader, such as head, has seen enough; Python would complain at its end
        return
    ended = require_step(api, run_id, step)
    if not ended.task_id:
        typer.echo(f"{step} has printed nothing: it is {ended.status}", err=True)
    raise typer.Exit(1 if ended.status in ("failed", "aborted") else 0)
