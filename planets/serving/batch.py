"""Predictions for many pictures: resumable, and not stopped by files that cannot be read."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from planets.archive.layout import COLUMNS
from planets.bundle.bundle import Bundle
from planets.bundle.manifest import INFO
from planets.chips.batches import Block, blocks
from planets.chips.files import Picture
from planets.serving import PredictionError
from planets.serving.resume_log import Job, Ledger, Row

Progress = Callable[[int], None]
"""Called with the number of pictures that have been dealt with since the last call."""


class Unreadable(NamedTuple):
    """A picture that could not be read, and why."""

    picture: Picture
    why: str


def job_of(folder: Path, runtime: str, images: Path) -> Job:
    """Return what the rows depend on: a bundle's content, what runs it, and the folder of the pictures."""
    manifest = (folder / INFO).read_bytes()
    return {
        "bundle": hashlib.sha256(manifest).hexdigest(),
        "runtime": runtime,
        "images": str(images.resolve()),
    }


def predict_all(
    bundle: Bundle, pictures: Sequence[Picture], ledger: Ledger, progress: Progress
) -> list[Unreadable]:
    """Bring the rows of `pictures` that are not there yet into the ledger; return those without a row."""
    missing = [picture for picture in pictures if picture not in ledger]
    length = min(bundle.info.batch_size, len(pictures))
    unreadable = []
    start = 0
    for block in blocks([picture.path for picture in missing], bundle.sizes, length):
        some = missing[start : start + block.length]
        ledger.add(_rows(bundle, some, block))
        unreadable += [Unreadable(some[row], why) for row, why in block.faults.items()]
        start += block.length
        progress(block.length)
    return unreadable


def write_predictions(out: Path, labels: Sequence[str], pictures: Iterable[Picture], ledger: Ledger) -> None:
    """Write `image_name,tags` and a column with the probability of each label, whole or not at all."""
    with replacing(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, *labels))
        for picture in pictures:
            if picture in ledger:
                row = ledger.row(picture)
                writer.writerow(
                    (row.name, " ".join(row.tags), *(f"{each:.6f}" for each in row.probabilities))
                )


def write_unreadable(file: Path, unreadable: Sequence[Unreadable]) -> None:
    """Write which pictures have no row and why; where all have one, an older such file is deleted."""
    if not unreadable:
        file.unlink(missing_ok=True)
        return
    with replacing(file) as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(("image_name", "file", "why"))
        writer.writerows((picture.name, picture.path, why) for picture, why in unreadable)


def beside(out: Path, kind: str) -> Path:
    """Return the file of another kind that goes with `out`, as `predictions.unreadable.csv`."""
    return out.with_name(f"{out.stem}.{kind}")


def require_place(out: Path) -> None:
    """See that a file can be put at `out`, and make its folder.

    Raises:
        PredictionError: it is a folder, or lies in none that can be made or written.
    """
    if out.is_dir():
        raise PredictionError(f"{out} is a folder; name a file in it, such as {out / 'predictions.csv'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PredictionError(f"{out}: its folder cannot be made: {error}") from error
    if not os.access(out.parent, os.W_OK):
        raise PredictionError(f"{out.parent} cannot be written; name another file with OUT=")


@contextmanager
def replacing(out: Path) -> Iterator[IO[str]]:
    """Open a text file for writing that becomes `out` when the block ends well."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _rows(bundle: Bundle, pictures: Sequence[Picture], block: Block) -> Iterator[Row]:
    if len(block.faults) == block.length:
        return
    probabilities = bundle.probabilities(block.chips)
    for place, (picture, tags) in enumerate(zip(pictures, bundle.tags(probabilities), strict=False)):
        if place not in block.faults:
            yield Row(picture.name, picture.stamp, tags, probabilities[place].tolist())
