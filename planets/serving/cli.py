"""`predict` and `submission`: the model used on many pictures; needs neither torch nor ClearML."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from planets.bundle.bundle import Bundle
from planets.chips.files import Picture, find_pictures
from planets.serving import PredictionError
from planets.serving.batch import (
    Unreadable,
    beside,
    job_of,
    predict_all,
    require_place,
    write_predictions,
    write_unreadable,
)
from planets.serving.eta import shown
from planets.serving.resume_log import Ledger
from planets.serving.submission import find_test, write_submission

console = Console(highlight=False, soft_wrap=True)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

_NAMED = 5

BundleFolder = Annotated[str, typer.Option("--bundle", help="folder of the model")]
Runtime = Annotated[
    str, typer.Option(help="onnx, or torch (installed as a whole; on the GPU if there is one)")
]


def predict(
    images: Annotated[str, typer.Argument(help="folder of JPEG files, searched to its depth")] = "",
    out: Annotated[str, typer.Option(help="table that is written")] = "predictions.csv",
    bundle: BundleFolder = "output/best",
    runtime: Runtime = "onnx",
) -> None:
    """Write tags and probabilities of all pictures of a folder; goes on where it was interrupted."""
    if not images:
        raise PredictionError("no folder of pictures is named: make predict IMAGES=/some/folder")
    folder, table = Path(images).expanduser(), Path(out).expanduser()
    require_place(table)
    model = _open(bundle, runtime)
    pictures, others = find_pictures(folder)
    console.print(f"{len(pictures):,} pictures in {folder}" + (f", {others:,} other files" if others else ""))
    with Ledger(beside(table, "unfinished.jsonl"), job_of(Path(bundle), runtime, folder)) as ledger:
        unreadable = _run(model, pictures, ledger)
        write_predictions(table, model.info.labels, pictures, ledger)
        ledger.remove()
    _tell(unreadable, table)
    console.print(f"{len(pictures) - len(unreadable):,} predictions by {model.info.name} in {table}")


def submission(
    dataset_path: Annotated[
        str, typer.Option(envvar="DATASET_PATH", help="folder that Kaggle's archive was unpacked to")
    ] = "",
    out: Annotated[str, typer.Option(help="file that is written")] = "submission.csv",
    bundle: BundleFolder = "output/best",
    runtime: Runtime = "onnx",
) -> None:
    """Write Kaggle's submission over both folders of test pictures; goes on where it was interrupted."""
    if not dataset_path:
        raise PredictionError("no dataset is named: make submission DATASET_PATH=/folder/of/the/archive")
    folder, table = Path(dataset_path).expanduser(), Path(out).expanduser()
    require_place(table)
    model = _open(bundle, runtime)
    pictures, others = find_test(folder)
    extra = f", {others:,} that it does not name are left out" if others else ""
    console.print(f"{len(pictures):,} pictures of the sample submission{extra}")
    with Ledger(beside(table, "unfinished.jsonl"), job_of(Path(bundle), runtime, folder)) as ledger:
        unreadable = _run(model, pictures, ledger)
        _tell(unreadable, table)
        if unreadable:
            raise PredictionError(
                f"no submission without these {len(unreadable)} pictures: fetch them again and repeat the "
                "command, which then does only them"
            )
        write_submission(table, pictures, ledger)
        ledger.remove()
    console.print(f"{len(pictures):,} rows by {model.info.name} in {table}")


def _open(folder: str, runtime: str) -> Bundle:
    from planets.serving.predictor import open_bundle  # brings ONNX Runtime, which other commands do without

    return open_bundle(Path(folder), runtime)


def _run(model: Bundle, pictures: Sequence[Picture], ledger: Ledger) -> list[Unreadable]:
    """Predict what is not in the ledger, and say how it goes; Ctrl-C ends the command."""
    done = sum(picture in ledger for picture in pictures)
    if ledger.given_up:
        console.print(f"an unfinished run with another {' and '.join(ledger.given_up)} is given up")
    if done:
        console.print(f"{done:,} were done before the last run was interrupted")
    try:
        with shown(console, len(pictures), done) as progress:
            return predict_all(model, pictures, ledger, progress)
    except KeyboardInterrupt:
        console.print(f"interrupted; {len(ledger):,} are done, and the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def _tell(unreadable: Sequence[Unreadable], table: Path) -> None:
    """Say which pictures cannot be read, and leave a table of them beside the other one."""
    listed = beside(table, "unreadable.csv")
    write_unreadable(listed, unreadable)
    for picture, why in unreadable[:_NAMED]:
        console.print(f"unreadable: {picture.path}: {why}")
    if unreadable:
        console.print(f"{len(unreadable):,} unreadable pictures in all, listed in {listed}")
