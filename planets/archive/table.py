"""The label table of an archive: `image_name,tags` as CSV, read strictly and written in one form."""

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from planets.chips import ArchiveError
from planets.labels import LABELS, UnknownTag, parse_tags

COLUMNS = ("image_name", "tags")

_SUFFIX = ".jpg"
_NAME = re.compile(r"\w[\w. -]*", re.ASCII)
_ORDER = {label: index for index, label in enumerate(LABELS)}


@dataclass(frozen=True)
class Row:
    """One chip's labels as the table states them; `line` counts from 1, the header included."""

    name: str
    tags: frozenset[str]
    line: int


def read_table(path: Path) -> tuple[Row, ...]:
    """Read a label table; the rows keep the file's order, and rows that say the same twice are one.

    A byte-order mark, any line ending, quoted cells, blank lines, further columns, a `.jpg` after a name and
    tags that are repeated within a row are all accepted.

    Raises:
        UnknownTag: a tag that is none of the 17 labels; the message names file, line and value.
        ArchiveError: the file is no such table, or names one chip twice with different tags.
    """
    rows: dict[str, Row] = {}
    for row in _rows(path):
        first = rows.setdefault(row.name, row)
        if first.tags != row.tags:
            raise ArchiveError(
                f"{path}, line {row.line}: {row.name!r} is {_join(row.tags)!r} here but "
                f"{_join(first.tags)!r} on line {first.line}; keep the right one of the two lines"
            )
    if not rows:
        raise ArchiveError(f"{path} has no rows; each line after the header names a chip and its tags")
    return tuple(rows.values())


def write_table(path: Path, tags_of: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Write `(name, tags)` pairs in the order given, each row's tags in `LABELS` order; lines end in LF."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((name, _join(tags)) for name, tags in tags_of)


def _rows(path: Path) -> Iterator[Row]:
    cells = _cells(path)
    line, header = next(cells, (1, []))
    columns = _columns(path, line, [cell.strip() for cell in header])
    for line, row in cells:
        if len(row) != len(header):
            raise ArchiveError(
                f"{path}, line {line}: {len(row)} cells where the header has {len(header)}: "
                f"{','.join(row)!r}; separate the tags with spaces, not commas"
            )
        name, tags = (row[column] for column in columns)
        yield Row(_name(path, line, name), _tags(path, line, tags), line)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield `(line number, cells)` of every line that holds anything."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8 CSV") from error
    except csv.Error as error:
        raise ArchiveError(f"{path}, line {reader.line_num}: not CSV ({error}); mend the quotes") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error


def _columns(path: Path, line: int, header: Sequence[str]) -> list[int]:
    if not header:
        raise ArchiveError(f"{path} is empty; it must start with the line {','.join(COLUMNS)!r}")
    for column in COLUMNS:
        if column not in header:
            raise ArchiveError(
                f"{path}, line {line}: no column {column!r} in {','.join(header)!r}; "
                f"the header must be {','.join(COLUMNS)!r}"
            )
    return [header.index(column) for column in COLUMNS]


def _name(path: Path, line: int, cell: str) -> str:
    """Return the chip's bare name; whatever could leave the folder of chips is refused."""
    name = cell.strip().removesuffix(_SUFFIX)
    if not _NAME.fullmatch(name):
        raise ArchiveError(
            f"{path}, line {line}: {cell!r} is no chip's name; write the file's bare name, as in 'train_0'"
        )
    return name


def _tags(path: Path, line: int, cell: str) -> frozenset[str]:
    tags = parse_tags(cell)
    if not tags:
        raise ArchiveError(f"{path}, line {line}: no tags; name at least one label, or delete the line")
    for tag in sorted(tags.difference(LABELS)):
        close = difflib.get_close_matches(tag.lower(), LABELS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the labels are: {', '.join(LABELS)}"
        raise UnknownTag(f"{path}, line {line}: unknown tag {tag!r}; {hint}")
    return tags


def _join(tags: Iterable[str]) -> str:
    return " ".join(sorted(set(tags), key=_ORDER.__getitem__))
