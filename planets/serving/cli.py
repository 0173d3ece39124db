"""The commands `predict`, `submission` and `demo`; they need neither torch nor ClearML."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from planets.bundle.bundle import Bundle
from planets.commands import command
from planets.serving import PredictionError
from planets.serving.batch import (
    Progress,
    ResumeLog,
    Unreadable,
    beside,
    job_of,
    predict_all,
    require_writable,
    write_predictions,
    write_submission,
    write_unreadable,
)
from planets.serving.pictures import Picture, count_others, find_pictures, find_test
from planets.system import ProgressLines, chip_count

console = Console(highlight=False, soft_wrap=True)

INTERRUPTED = 130
"""Exit code after Ctrl-C, by the shell's convention."""

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
    """Write tags and probabilities of all pictures in a folder; resumes an interrupted run."""
    if not images:
        raise PredictionError(f"name a folder of pictures: {command('predict', '/some/folder')}")
    folder, table = Path(images).expanduser(), Path(out).expanduser()
    require_writable(table)
    model = _open(bundle, runtime)
    pictures, others = find_pictures(folder)
    skipped = f", {others.total():,} other files ({count_others(others)})" if others else ""
    console.print(f"{len(pictures):,} pictures in {folder}" + skipped)
    with ResumeLog(beside(table, "unfinished.jsonl"), job_of(Path(bundle), runtime, folder)) as log:
        unreadable = _run(model, pictures, log)
        write_predictions(table, model.info.labels, pictures, log)
        log.remove()
    _report_unreadable(unreadable, table)
    console.print(f"{len(pictures) - len(unreadable):,} predictions by {model.info.name} in {table}")


def submission(
    dataset_path: Annotated[
        str, typer.Option(envvar="DATASET_PATH", help="folder that Kaggle's archive was unpacked to")
    ] = "",
    out: Annotated[str, typer.Option(help="file that is written")] = "submission.csv",
    bundle: BundleFolder = "output/best",
    runtime: Runtime = "onnx",
) -> None:
    """Write Kaggle's submission over both folders of test pictures; resumes an interrupted run."""
    if not dataset_path:
        raise PredictionError(f"name the dataset: {command('submission', '/folder/of/the/archive')}")
    folder, table = Path(dataset_path).expanduser(), Path(out).expanduser()
    require_writable(table)
    model = _open(bundle, runtime)
    pictures, others = find_test(folder)
    extra = f", {others:,} others are skipped" if others else ""
    console.print(f"{len(pictures):,} pictures of the sample submission{extra}")
    with ResumeLog(beside(table, "unfinished.jsonl"), job_of(Path(bundle), runtime, folder)) as log:
        unreadable = _run(model, pictures, log)
        _report_unreadable(unreadable, table)
        if unreadable:
            raise PredictionError(
                f"no submission without these {len(unreadable)} pictures: fetch them again and repeat the "
                "command, which then predicts only these"
            )
        write_submission(table, pictures, log)
        log.remove()
    console.print(f"{len(pictures):,} rows by {model.info.name} in {table}")


def demo(
    bundle: BundleFolder = "output/best",
    port: Annotated[int | None, typer.Option(help="port of the page; by default the first free one")] = None,
) -> None:
    """Serve a page to try the model in, for this machine only."""
    if importlib.util.find_spec("gradio") is None:
        raise PredictionError(
            "the demo needs gradio: run `make demo`, or install it with `pip install gradio`"
        )
    from planets.serving.demo import serve

    serve(Path(bundle).expanduser(), port, lambda page: console.print(f"page    {page}  (Ctrl-C ends it)"))


def _open(folder: str, runtime: str) -> Bundle:
    # Imported late: it brings ONNX Runtime, which the other commands of the pipeline do not need.
    from planets.serving.predictor import open_bundle

    return open_bundle(Path(folder), runtime)


def _run(model: Bundle, pictures: Sequence[Picture], log: ResumeLog) -> list[Unreadable]:
    """Predict what the log does not contain, and show the progress; Ctrl-C ends the command."""
    done = sum(picture in log for picture in pictures)
    if log.discarded:
        console.print(f"discarded an unfinished run with another {' and '.join(log.discarded)}")
    if done:
        console.print(f"{done:,} were predicted before the last run was interrupted")
    try:
        with _progress(len(pictures), done) as progress:
            return predict_all(model, pictures, log, progress)
    except KeyboardInterrupt:
        console.print(f"interrupted after {len(log):,} predictions; repeat the command to resume")
        raise typer.Exit(INTERRUPTED) from None


def _report_unreadable(unreadable: Sequence[Unreadable], table: Path) -> None:
    """Print the first unreadable pictures, and write a table of all beside the predictions."""
    listed = beside(table, "unreadable.csv")
    write_unreadable(listed, unreadable)
    for picture, reason in unreadable[:_NAMED]:
        console.print(f"unreadable: {picture.path}: {reason}")
    if unreadable:
        console.print(f"{len(unreadable):,} unreadable pictures in all, listed in {listed}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f} chips/s")


@contextmanager
def _progress(total: int, done: int) -> Iterator[Progress]:
    """Show progress from `done` to `total`: a bar in a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield _progress_lines(total, done)
        return
    columns = (BarColumn(), MofNCompleteColumn(), _Rate(), TextColumn("left"), TimeRemainingColumn())
    with ProgressBar(*columns, console=console, speed_estimate_period=60) as bar:
        task = bar.add_task("chips", total=total, completed=done)
        yield lambda count: bar.advance(task, count)


def _progress_lines(total: int, done: int) -> Progress:
    lines = ProgressLines("predicting", total, console.print, chip_count, done)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        lines(done)

    return advance
