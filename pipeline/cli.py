"""The command line. Errors end here, as one message and an exit code."""

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.commands import look, run, stack, worker
from pipeline.errors import PipelineError
from planets.errors import PlanetsError

COMMANDS = (run.run, stack.up, stack.down, stack.env, worker.worker, look.status, look.doctor)
"""In the order of the help."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run a command; an error that we raise on purpose is a message on stderr and exit code 1."""
    try:
        app()
    except (PipelineError, PlanetsError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        raise SystemExit(1) from None
