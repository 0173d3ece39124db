"""`reference`: the settings in prose."""

from typing import Annotated

import typer

from pipeline.cli.options import console
from pipeline.connection import ROOT
from pipeline.errors import PipelineError
from planets.config.project import CONFIGS

PAGE = ROOT / "docs" / "configuration.md"


def reference(
    check: Annotated[
        bool, typer.Option(help="change nothing; fail when the page is not as it would be")
    ] = False,
) -> None:
    """Write the settings into docs/configuration.md, from the models and configs/."""
    from pipeline.config.reference import update

    text = update(PAGE, CONFIGS)
    if text == PAGE.read_text(encoding="utf-8"):
        console.print(f"{PAGE.relative_to(ROOT)} is as the settings are")
        return
    if check:
        raise PipelineError(f"{PAGE.relative_to(ROOT)} is not as the settings are: run `make docs`")
    PAGE.write_text(text, encoding="utf-8")
    console.print(f"{PAGE.relative_to(ROOT)} is written")
