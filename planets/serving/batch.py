"""Predictions for many pictures: resumable, and not stopped by unreadable files."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from planets.archive.layout import COLUMNS
from planets.bundle.bundle import Bundle
from planets.bundle.manifest import INFO
from planets.chips.batches import Block, blocks
from planets.chips.files import Picture
from planets.serving import PredictionError
from planets.serving.resume_log import Job, ResumeLog, Row
from planets.system import atomic_write

Progress = Callable[[int], None]
"""Called with the number of pictures processed since the last call."""


class Unreadable(NamedTuple):
    """An unreadable picture, and the reason."""

    picture: Picture
    reason: str


def job_of(folder: Path, runtime: str, images: Path) -> Job:
    """Return the inputs of the rows: the bundle's content, the runtime, and the folder of the pictures."""
    manifest = (folder / INFO).read_bytes()
    return {
        "bundle": hashlib.sha256(manifest).hexdigest(),
        "runtime": runtime,
        "images": str(images.resolve()),
    }


def predict_all(
    bundle: Bundle, pictures: Sequence[Picture], log: ResumeLog, progress: Progress
) -> list[Unreadable]:
    """Predict the pictures that the log does not contain; return the unreadable ones."""
    missing = [picture for picture in pictures if picture not in log]
    length = min(bundle.info.batch_size, len(pictures))
    unreadable = []
    start = 0
    for block in blocks([picture.path for picture in missing], bundle.sizes, length):
        batch = missing[start : start + block.length]
        log.add(_rows(bundle, batch, block))
        unreadable += [Unreadable(batch[row], reason) for row, reason in block.faults.items()]
        start += block.length
        progress(block.length)
    return unreadable


def write_predictions(out: Path, labels: Sequence[str], pictures: Iterable[Picture], log: ResumeLog) -> None:
    """Write the table of predictions: `image_name,tags`, and the probability of each label.

    By csv, not pandas: the slim environment of `predict` has no pandas.
    """
    rows = [log.row(picture) for picture in pictures if picture in log]
    write_csv(
        out,
        (*COLUMNS, *labels),
        ((row.name, " ".join(row.tags), *(f"{value:.6f}" for value in row.probabilities)) for row in rows),
    )


def write_unreadable(file: Path, unreadable: Sequence[Unreadable]) -> None:
    """Write the table of unreadable pictures; delete an older one if all are readable."""
    if not unreadable:
        file.unlink(missing_ok=True)
        return
    rows = ((picture.name, picture.path, reason) for picture, reason in unreadable)
    write_csv(file, ("image_name", "file", "why"), rows)


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, whole or not at all."""
    with atomic_write(file) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def beside(out: Path, kind: str) -> Path:
    """Return the companion file of `out`, such as `predictions.unreadable.csv`."""
    return out.with_name(f"{out.stem}.{kind}")


def require_writable(out: Path) -> None:
    """Check that `out` can be written, and create its folder.

    Raises:
        PredictionError: it is a folder, or its folder cannot be created or written.
    """
    if out.is_dir():
        raise PredictionError(f"{out} is a folder; name a file in it, such as {out / 'predictions.csv'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PredictionError(f"{out}: its folder cannot be created: {error}") from error
    if not os.access(out.parent, os.W_OK):
        raise PredictionError(f"{out.parent} cannot be written; name another file with OUT=")


def _rows(bundle: Bundle, pictures: Sequence[Picture], block: Block) -> Iterator[Row]:
    if len(block.faults) == block.length:
        return
    probabilities = bundle.probabilities(block.chips)
    for index, (picture, tags) in enumerate(zip(pictures, bundle.tags(probabilities), strict=False)):
        if index not in block.faults:
            yield Row(picture.name, picture.stamp, tags, probabilities[index].tolist())
