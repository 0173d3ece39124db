"""Predictions for many pictures: resumable, and not stopped by unreadable files.

A submission is 61,191 chips; with test-time augmentation that is hours of work on a CPU. `ResumeLog` keeps
the predictions so far on disk, and an interrupted run continues from them.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from planets.archive.layout import COLUMNS
from planets.bundle.bundle import Bundle
from planets.bundle.manifest import INFO
from planets.chips.batches import Block, blocks
from planets.serving import PredictionError
from planets.serving.pictures import Picture, Stamp
from planets.system import atomic_write

Job = Mapping[str, str]
"""Inputs of the rows besides the pictures: the bundle, the runtime, the folder."""

Progress = Callable[[int], None]
"""Called with the number of pictures processed since the last call."""


class Row(NamedTuple):
    """Prediction for one picture; `probabilities` are in the order of the bundle's labels."""

    name: str
    stamp: Stamp
    tags: list[str]
    probabilities: list[float]


class Unreadable(NamedTuple):
    """An unreadable picture, and the reason."""

    picture: Picture
    reason: str


class ResumeLog:
    """Rows of one job. Use it in a `with` block; it is locked against other processes.

    The file has one JSON value per line: first the job, then a row for each picture in the order of
    prediction. A truncated last line is ignored.
    """

    def __init__(self, file: Path, job: Job) -> None:
        """Open the log at `file` with the rows of an interrupted run of the same job.

        Rows of another job are discarded; `discarded` then names the inputs that differ.

        Raises:
            PredictionError: the file cannot be written, another process holds it, or it is no log.
        """
        self.file = file
        self.discarded: tuple[str, ...] = ()
        self._rows: dict[str, Row] = {}
        try:
            self._stream = file.open("a+b")
        except OSError as error:
            raise PredictionError(f"{file} cannot be written: {error.strerror}") from error
        try:
            self._lock()
            self._read(job)
        except PredictionError:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def __contains__(self, picture: Picture) -> bool:
        """Return True if the picture has a row, and its file has not changed since."""
        row = self._rows.get(picture.name)
        return row is not None and row.stamp == picture.stamp

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows; they survive the end of this process."""
        for row in rows:
            self._rows[row.name] = row
            self._append(row)
        self._stream.flush()

    def row(self, picture: Picture) -> Row:
        """Return the row of a picture that the log contains."""
        return self._rows[picture.name]

    def remove(self) -> None:
        """Delete the file."""
        self.file.unlink()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PredictionError(
                f"another process writes {self.file}: wait for it, or name another file with OUT="
            ) from error

    def _read(self, job: Job) -> None:
        """Read the rows, or start over if they belong to another job."""
        self._stream.seek(0)
        complete = [line for line in self._stream if line.endswith(b"\n")]
        earlier = self._parse_job(complete[0]) if complete else {}
        if earlier == dict(job):
            for line in complete[1:]:
                name, stamp, tags, probabilities = json.loads(line)
                self._rows[name] = Row(name, (stamp[0], stamp[1]), tags, probabilities)
            self._stream.truncate(sum(map(len, complete)))
        else:
            self.discarded = tuple(key for key in job if earlier and earlier.get(key) != job[key])
            self._stream.truncate(0)
            self._append(dict(job))

    def _parse_job(self, line: bytes) -> dict[str, str]:
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise PredictionError(
                f"{self.file} is not a log of unfinished predictions; move it, or name another file with OUT="
            ) from error

    def _append(self, content: object) -> None:
        self._stream.write(json.dumps(content).encode() + b"\n")


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


def write_submission(out: Path, pictures: Sequence[Picture], log: ResumeLog) -> None:
    """Write `image_name,tags` for each picture, in the given order."""
    write_csv(out, COLUMNS, ((picture.name, " ".join(log.row(picture).tags)) for picture in pictures))


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
