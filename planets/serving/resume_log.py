"""What has been predicted so far, on disk: a run that was interrupted goes on from it.

The file has one JSON text a line: first the job, then a row for each picture, in the order they were done. A
last line that was cut off counts for nothing.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from planets.chips.files import Picture, Stamp
from planets.serving import PredictionError

Job = Mapping[str, str]
"""What rows depend on besides the pictures: the bundle, the runtime, the folder."""


class Row(NamedTuple):
    """The prediction for one picture; `probabilities` are in the order of the bundle's labels."""

    name: str
    stamp: Stamp
    tags: list[str]
    probabilities: list[float]


class Ledger:
    """The rows of one job. Use it in a `with` block; only one process can have it."""

    def __init__(self, file: Path, job: Job) -> None:
        """Open the ledger at `file`, with the rows that an interrupted run of the same job has left.

        Rows of another job are thrown away, and `given_up` then says what is different.

        Raises:
            PredictionError: the file cannot be written, or another process works on it.
        """
        self.file = file
        self.given_up: tuple[str, ...] = ()
        try:
            self._stream = file.open("a+b")
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._stream.close()
            raise PredictionError(
                f"another process writes {file}: wait for it, or name another file with OUT="
            ) from error
        except OSError as error:
            raise PredictionError(f"{file} cannot be written: {error.strerror}") from error
        self._places: dict[str, tuple[Stamp, int]] = {}
        try:
            self._read(job)
        except PredictionError:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __len__(self) -> int:
        """Rows, as they were found and as they were added."""
        return len(self._places)

    def __contains__(self, picture: Picture) -> bool:
        """Whether it has the row of this picture, as the file is now."""
        return self._places.get(picture.name, (None, 0))[0] == picture.stamp

    def add(self, rows: Iterable[Row]) -> None:
        """Write rows, so that they outlast this process."""
        self._stream.seek(0, 2)
        for row in rows:
            self._places[row.name] = row.stamp, self._stream.tell()
            self._write(row)
        self._stream.flush()

    def row(self, picture: Picture) -> Row:
        """Return the row of a picture that it contains."""
        self._stream.seek(self._places[picture.name][1])
        return _row(self._stream.readline())

    def remove(self) -> None:
        """Delete the file: its rows are wherever they were wanted."""
        self.file.unlink()

    def _read(self, job: Job) -> None:
        """Find the rows, or begin anew where they are of another job."""
        self._stream.seek(0)
        lines = self._lines()
        place, first = next(lines, (0, b""))
        end = place + len(first)
        earlier = self._job(first)
        if earlier == dict(job):
            for place, line in lines:
                row = _row(line)
                self._places[row.name] = row.stamp, place
                end = place + len(line)
            self._stream.truncate(end)
        else:
            self.given_up = tuple(key for key in job if earlier and earlier.get(key) != job[key])
            self._stream.truncate(0)
            self._stream.seek(0, 2)
            self._write(dict(job))
        self._stream.seek(0, 2)

    def _job(self, line: bytes) -> dict[str, str]:
        """Return the job that the first line names; an empty one if there is none."""
        try:
            return dict(json.loads(line)) if line else {}
        except (ValueError, TypeError) as error:
            raise PredictionError(f"{self.file} was not written by this program; move it away") from error

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        place = 0
        for line in iter(self._stream.readline, b""):
            if not line.endswith(b"\n"):
                return
            yield place, line
            place += len(line)

    def _write(self, content: object) -> None:
        self._stream.write(json.dumps(content).encode() + b"\n")


def _row(line: bytes) -> Row:
    name, stamp, tags, probabilities = json.loads(line)
    return Row(name, (stamp[0], stamp[1]), tags, probabilities)
