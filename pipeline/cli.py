"""The command line: run, up, down, status, doctor, env. Errors end here, as one message and an exit code."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.connection import ROOT, named_server
from pipeline.errors import PipelineError
from pipeline.settings import load_config
from pipeline.stack import Stack, folder, shell_exports
from planets.config import Config
from planets.errors import PlanetsError

if TYPE_CHECKING:
    from pipeline.api import Api

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console = Console(highlight=False, soft_wrap=True, width=130)
OUTPUT = ROOT / "output"

Profile = Annotated[
    str, typer.Option(envvar="PROFILE", help="sample, full or gpu: a file of configs/profiles")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="a setting as key=value, such as training.epochs=3")
]
Source = Annotated[str, typer.Option(envvar="DATASET_SOURCE", help="sample, local or kaggle")]
DataPath = Annotated[str, typer.Option(envvar="DATASET_PATH", help="folder in the Kaggle layout, for local")]
"""Options that several commands share."""


def settings(profile: str, pairs: list[str] | None, source: str = "", path: str = "") -> Config:
    """The settings of a command: profile, then `--set`, then the data source."""
    overrides = []
    for pair in pairs or []:
        key, sign, text = pair.partition("=")
        if not (key and sign):
            raise typer.BadParameter(f"--set needs key=value, not {pair!r}")
        overrides.append((key, text))
    if path:
        overrides.append(("dataset.path", str(Path(path).expanduser().resolve())))
        source = source or "local"
    if source:
        overrides.append(("dataset.source", source))
    return load_config(profile, overrides)


def connect(config: Config, start: bool) -> "Api":
    """Log in to the server that is named, or else to the embedded one; `start` says to start that."""
    stack = Stack(folder())
    named = named_server(os.environ)
    connection = named or (stack.up(config) if start else stack.connection())
    if connection is None:
        raise PipelineError("no server is named, and the embedded one does not run: start it with `make up`")
    connection.use()
    from pipeline.api import Api

    api = Api()
    if start and not named:
        from pipeline.launch import await_workers

        await_workers(api, stack.workers(), stack.check)
    console.print(f"server  {api.web}  ({connection.origin})")
    if not named:
        console.print(f"page    {stack.link()}  (opens once, within ten minutes)")
    return api


@app.command()
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


@app.command()
def up(profile: Profile = "sample", set_: Set = None) -> None:
    """Start the embedded server and the agents of this machine, or what of them does not run."""
    named = named_server(os.environ)
    if named:
        raise PipelineError(
            f"{named.origin} names a server: nothing is started here; its own workers do the work"
        )
    config = settings(profile, set_)
    connect(config, start=True)
    for process in Stack(folder()).running():
        console.print(f"{process.name:12} pid {process.pid:<8} {process.log}")


@app.command()
def down() -> None:
    """End the embedded server, the agents and the steps that they run."""
    ended = Stack(folder()).down()
    console.print(f"ended: {', '.join(process.name for process in ended) or 'nothing ran'}")


@app.command()
def env() -> None:
    """Print the exports with which any ClearML program uses the embedded server."""
    sys.stdout.write(shell_exports(Stack(folder()).exports()) + "\n")


@app.command()
def status(profile: Profile = "sample", set_: Set = None) -> None:
    """Show what runs on this machine, and the last run: each step, its state, and why it ran."""
    config = settings(profile, set_)
    for process in Stack(folder()).running():
        console.print(f"{process.name:12} pid {process.pid:<8} {process.log}")
    api = connect(config, start=False)
    from pipeline.follow import show
    from pipeline.runs import last_run

    run_id = last_run(api, config.clearml.project, config.clearml.pipeline)
    if run_id is None:
        console.print("no run yet: make train.pipeline")
        return
    show(api, run_id, console)


@app.command()
def doctor(profile: Profile = "sample", set_: Set = None) -> None:
    """Check what a run needs: Python, disk, ports, server, keys, workers, steps; a remedy for each."""
    config = settings(profile, set_)
    from pipeline.doctor import examine

    sick = 0
    for check in examine(config, Stack(folder()), named_server(os.environ)):
        sick += not check.good
        mark = "[green]ok  [/green]" if check.good else "[red]FAIL[/red]"
        console.print(f"{mark} {check.name:16} {escape(check.seen)}")
        if not check.good:
            console.print(f"     {'':16} -> {escape(check.remedy)}")
    raise typer.Exit(1 if sick else 0)


def main() -> None:
    """Run a command; an error that we raise on purpose is a message on stderr and exit code 1."""
    try:
        app()
    except (PipelineError, PlanetsError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        raise SystemExit(1) from None
