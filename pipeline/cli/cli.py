"""The command line. Errors end here, as one message and an exit code."""

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.cli import dataset, models, reference, run, stack
from pipeline.connection import use_kaggle_credentials
from pipeline.errors import PipelineError
from planets.errors import PlanetsError
from steps.clearml.errors import StepError

COMMANDS = (
    *(run.run, run.resume, run.logs, dataset.retrain),
    *(dataset.upload, models.train, models.select, models.experiments),
    *(models.predict, models.submission),
    *(stack.up, stack.down, stack.env, stack.worker),
    *(run.status, stack.doctor, reference.reference),
)
"""In the order of the help."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run a command; an error that we raise on purpose is a message on stderr and exit code 1."""
    use_kaggle_credentials()
    try:
        app()
    except (PipelineError, PlanetsError, StepError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        raise SystemExit(1) from None
