"""The label table of an archive: `image_name,tags` as CSV, read strictly into a DataFrame."""

import csv
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planets.archive.layout import COLUMNS, locate
from planets.chips import ArchiveError
from planets.labels import LABELS, UnknownTag, parse_tags

_NAME = re.compile(r"\w[\w. -]*", re.ASCII)
"""Bare file names: nothing that could leave the folder of chips."""

_ORDER = {label: index for index, label in enumerate(LABELS)}


@dataclass(frozen=True, eq=False)
class Archive:
    """A folder in the Kaggle layout; nothing in it is ever written.

    Attributes:
        root: the folder given by the user.
        chips: the folder of labelled chips.
        table: the file of labels.
        rows: the labels, see `read_table`.
    """

    root: Path
    chips: Path
    table: Path
    rows: pd.DataFrame


def find_archive(folder: Path) -> Archive:
    """Find the chips and the label table in `folder`, and read the table.

    Raises:
        ArchiveError: chips or table are missing, or the table is faulty.
        UnknownTag: the table has a tag that is none of the 17 labels.
    """
    chips, table = locate(folder)
    return Archive(folder, chips, table, read_table(table))


def read_table(path: Path) -> pd.DataFrame:
    """Read a label table: one row per chip, in the file's order.

    Accepts a byte-order mark, any line ending, quoted cells, blank lines, additional columns, a `.jpg` suffix
    of names, repeated tags within a row, and repeated rows with equal tags.

    Returns:
        Columns `image_name` (without suffix) and `tags` (distinct, in `LABELS` order, separated by a space),
        both str; the index `line` counts the file's lines from 1, the header included.

    Raises:
        UnknownTag: a tag is none of the 17 labels; the message names file, line and value.
        ArchiveError: the file is no such table, or gives one chip two different sets of tags.
    """
    # Not pandas.read_csv: it pads short rows, and knows no line numbers after blank lines.
    header_line, header, lines, rows = _cells(path)
    name_column, tags_column = _columns(path, header_line, [cell.strip() for cell in header])
    names = [_name(path, line, cells[name_column]) for line, cells in zip(lines, rows, strict=True)]
    tags = [_tags(path, line, cells[tags_column]) for line, cells in zip(lines, rows, strict=True)]
    table = pd.DataFrame({"image_name": names, "tags": tags}, index=pd.Index(lines, name="line"), dtype="str")
    if table.empty:
        raise ArchiveError(f"{path} has no rows; each line after the header names a chip and its tags")
    distinct = table.drop_duplicates()
    conflicts = distinct[distinct.duplicated("image_name")]
    if not conflicts.empty:
        _refuse_conflict(path, distinct, conflicts)
    return distinct


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write the columns `image_name` and `tags` of a label table as CSV, with LF line endings."""
    table.to_csv(path, columns=list(COLUMNS), index=False, lineterminator="\n", encoding="utf-8")


def label_matrix(tags: "pd.Series[str]") -> NDArray[np.uint8]:
    """Return the `tags` column of a label table as 0/1 of shape `(N, 17)`, columns in `LABELS` order."""
    dummies = tags.str.get_dummies(sep=" ").reindex(columns=list(LABELS), fill_value=0)
    return dummies.to_numpy(dtype=np.uint8)


def join_tags(tags: Iterable[str]) -> str:
    """Return a set of tags as the cell of a table: distinct, in `LABELS` order, separated by a space."""
    return " ".join(sorted(set(tags), key=_ORDER.__getitem__))


def _cells(path: Path) -> tuple[int, list[str], list[int], list[list[str]]]:
    """Return the header's line number and cells, and those of every other line that is not blank."""
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    lines.append(reader.line_num)
                    rows.append(cells)
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8 CSV") from error
    except csv.Error as error:
        raise ArchiveError(f"{path}, line {reader.line_num}: not CSV ({error}); fix the quotes") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
    if not rows:
        raise ArchiveError(f"{path} is empty; it must start with the line {','.join(COLUMNS)!r}")
    for line, cells in zip(lines, rows, strict=True):
        if len(cells) != len(rows[0]):
            raise ArchiveError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(rows[0])}: "
                f"{','.join(cells)!r}; separate the tags with spaces, not commas"
            )
    return lines[0], rows[0], lines[1:], rows[1:]


def _columns(path: Path, line: int, header: list[str]) -> tuple[int, int]:
    for column in COLUMNS:
        if column not in header:
            raise ArchiveError(
                f"{path}, line {line}: no column {column!r} in {','.join(header)!r}; "
                f"the header must be {','.join(COLUMNS)!r}"
            )
    return header.index(COLUMNS[0]), header.index(COLUMNS[1])


def _name(path: Path, line: int, cell: str) -> str:
    name = cell.strip().removesuffix(".jpg")
    if not _NAME.fullmatch(name):
        raise ArchiveError(
            f"{path}, line {line}: {cell!r} is not a chip's name; write the bare name, such as 'train_0'"
        )
    return name


def _tags(path: Path, line: int, cell: str) -> str:
    tags = parse_tags(cell)
    if not tags:
        raise ArchiveError(f"{path}, line {line}: no tags; name at least one label, or delete the line")
    for tag in sorted(tags.difference(LABELS)):
        close = difflib.get_close_matches(tag.lower(), LABELS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the labels are: {', '.join(LABELS)}"
        raise UnknownTag(f"{path}, line {line}: unknown tag {tag!r}; {hint}")
    return join_tags(tags)


def _refuse_conflict(path: Path, table: pd.DataFrame, conflicts: pd.DataFrame) -> NoReturn:
    line, name, tags = next(conflicts.itertuples())
    first = table[table["image_name"] == name].iloc[0]
    raise ArchiveError(
        f"{path}, line {line}: {name!r} is {tags!r} here but {first['tags']!r} on line {first.name}; "
        "keep the correct one of the two lines"
    )
