"""`python -m planets`: the commands that use a model, where nothing else of the project is installed."""

import sys

import typer

from planets.errors import PlanetsError
from planets.redaction import redact
from planets.serving.cli import demo, predict, submission

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in (predict, submission, demo):
    app.command()(command)


def main() -> None:
    """Run a command; an error that we raise on purpose is a message on stderr and exit code 1."""
    try:
        app()
    except PlanetsError as error:
        sys.stderr.write(f"error: {redact(str(error))}\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
