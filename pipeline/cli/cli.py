"""The command line. Errors end here, as one message and an exit code."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.cli import dataset, models, run, stack
from pipeline.cli.options import console
from pipeline.config.folders import CONFIGS, ROOT
from pipeline.connection import use_kaggle_credentials
from pipeline.errors import INTERRUPTED, Interrupted, PipelineError
from planets.errors import PlanetsError
from planets.redaction import redact
from steps.clearml.errors import StepError

PAGE = ROOT / "docs" / "configuration.md"

PROC = Path("/proc/self/stat")


def reference(
    check: Annotated[bool, typer.Option(help="change nothing, and fail if the page is out of date")] = False,
) -> None:
    """Write the settings into docs/configuration.md, from the models and configs/."""
    from pipeline.config.reference import update

    if not PAGE.exists():
        raise PipelineError(f"{PAGE} is missing: this command is for a checkout")
    text = update(PAGE, CONFIGS)
    if text == PAGE.read_text(encoding="utf-8"):
        console.print(f"{PAGE.relative_to(ROOT)} is up to date")
        return
    if check:
        raise PipelineError(f"{PAGE.relative_to(ROOT)} is out of date: run `make docs`")
    PAGE.write_text(text, encoding="utf-8")
    console.print(f"{PAGE.relative_to(ROOT)} is written")


COMMANDS = (
    *(run.run, run.resume, run.fetch, run.logs, dataset.retrain),
    *(dataset.upload, models.train, models.sweep, models.select, models.experiments),
    *(models.predict, models.submission, models.push),
    *(stack.up, stack.down, stack.env, stack.worker),
    *(run.status, stack.doctor, reference),
)
"""In the order of the help."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in COMMANDS:
    app.command()(command)


def require_single_options(words: Sequence[str]) -> None:
    """Refuse an option that is given twice, of which one would be dropped in silence, except `--set`.

    Raises:
        PipelineError: it is, such as by a make variable and ARGS.
    """
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    twice = sorted({option for option in options if options.count(option) > 1} - {"--set", "--"})
    if twice:
        raise PipelineError(f"{', '.join(twice)}: given twice; give it once, in ARGS or as a make variable")


def require_linux() -> None:
    """Refuse systems where the stack cannot find its processes.

    Raises:
        PipelineError: this is not Linux, or /proc is hidden.
    """
    if sys.platform != "linux":
        raise PipelineError(
            f"this project runs on Linux, WSL2 included, not on {sys.platform}; see README.md"
        )
    if not PROC.exists():
        raise PipelineError(f"{PROC} is missing: mount /proc, by which the stack finds its processes")


def silence_transfers() -> None:
    """Hide ClearML's progress bars, here and in the agents that are started from here, and its notices."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    logging.getLogger("clearml.storage").setLevel(logging.WARNING)


def main() -> None:
    """Run a command; an error that we raise on purpose is a message on stderr and exit code 1."""
    try:
        silence_transfers()
        require_linux()
        require_single_options(sys.argv[1:])
        use_kaggle_credentials()
        app()
    except (PipelineError, PlanetsError, StepError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"[red]error:[/red] {escape(redact(str(error)))}"
        )
        raise SystemExit(1) from None
    except Interrupted:
        console.print("stopped by Ctrl-C; the task is marked as stopped")
        raise SystemExit(INTERRUPTED) from None
