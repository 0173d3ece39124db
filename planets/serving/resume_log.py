"""Predictions so far, on disk: an interrupted run continues from them.

A submission is 61,191 chips; with test-time augmentation that is hours of work on a CPU. The file has one
JSON value per line: first the job, then a row for each picture in the order of prediction. A truncated last
line is ignored.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from planets.chips.files import Picture, Stamp
from planets.serving import PredictionError

Job = Mapping[str, str]
"""Inputs of the rows besides the pictures: the bundle, the runtime, the folder."""


class Row(NamedTuple):
    """Prediction for one picture; `probabilities` are in the order of the bundle's labels."""

    name: str
    stamp: Stamp
    tags: list[str]
    probabilities: list[float]


class ResumeLog:
    """Rows of one job. Use it in a `with` block; it is locked against other processes."""

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
