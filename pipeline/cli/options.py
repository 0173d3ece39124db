"""Options that commands share, the settings they make, the console, and the connection to the server."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.config.folders import ROOT
from pipeline.config.settings import load_config
from pipeline.connection import Api, named_server
from pipeline.errors import PipelineError
from pipeline.stack.stack import Stack, folder
from planets.commands import command
from planets.config.project import Config

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
DataPath = Annotated[str, typer.Option(envvar="DATASET_PATH", help="folder of the chips, for local")]
"""Options that several commands share."""


def settings(profile: str, pairs: list[str] | None, source: str = "", path: str = "") -> Config:
    """Return the settings of a command: profile, then `--set`, then the data source."""
    overrides: list[tuple[str, str]] = []
    for pair in pairs or []:
        key, sign, text = pair.partition("=")
        if not (key and sign):
            raise typer.BadParameter(f"--set needs key=value, not {pair!r}")
        if key in dict(overrides):
            raise typer.BadParameter(f"--set {key} is given twice; give it once")
        overrides.append((key, text))
    if path:
        overrides.append(("dataset.path", str(Path(path).expanduser().resolve())))
        source = source or "local"
    if source:
        overrides.append(("dataset.source", source))
    return load_config(profile, overrides)


def connect_server(config: Config) -> Api:
    """Log in as `connect` does, starting the embedded server if necessary, but no workers."""
    return connect(config.model_copy(update={"stack": config.stack.model_copy(update={"workers": {}})}), True)


def connect(config: Config, start: bool, quiet: bool = False) -> Api:
    """Log in to the named server, or else to the embedded one, and print its address.

    Args:
        config: settings of the stack.
        start: start the embedded server and its workers if they do not run.
        quiet: print nothing.
    """
    stack = Stack(folder())
    named = named_server(os.environ)
    connection = named or (stack.up(config) if start else stack.connection())
    if connection is None:
        raise PipelineError(
            f"no server is named, and the embedded one does not run: start it with `{command('up')}`"
        )
    connection.use()
    api = Api()
    if start and not named:
        from pipeline.stack.queues import await_workers
        from pipeline.workers import ALIVE_SECONDS

        # Agents that outlived their server report every half minute; until then it does not know their tasks.
        since = stack.server_start()
        fresh = time.time() - since < ALIVE_SECONDS
        if fresh and any(process.created < since for process in stack.running()):
            console.print("waiting for the agents to report to the restarted server ...")
        await_workers(api, stack.workers(), stack.check, since)
    if quiet:
        return api
    console.print(f"server  {api.web}  ({connection.origin})")
    if not named:
        console.print(f"page    {api.web}/login?token={api.call('auth.link')['token']}")
    return api
