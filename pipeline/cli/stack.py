"""`up`, `down`, `env`: the embedded server and the workers of this machine."""

import os
import sys

from pipeline.cli.options import Profile, Set, connect, console, settings
from pipeline.connection import named_server
from pipeline.errors import PipelineError
from pipeline.stack.stack import Stack, folder, shell_exports


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


def down() -> None:
    """End the embedded server, the agents and the steps that they run."""
    ended = Stack(folder()).down()
    console.print(f"ended: {', '.join(process.name for process in ended) or 'nothing ran'}")


def env() -> None:
    """Print the exports with which any ClearML program uses the embedded server."""
    sys.stdout.write(shell_exports(Stack(folder()).exports()) + "\n")
