"""The label table of an archive: `image_name,tags` as CSV, read strictly into a DataFrame."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planets.archive.cells import read_cells
from planets.archive.layout import COLUMNS, chip_files, chip_name, locate
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

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The file of each row; where there is none, the path that it should have.

        Raises:
            ArchiveError: two files belong to one chip.
        """
        files = chip_files(self.chips)
        return tuple(files.get(name, self.chips / f"{name}.jpg") for name in self.rows["image_name"])


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

    Accepts what `read_cells` does, additional columns, names with the suffix of their file, repeated tags
    within a row, and repeated rows with equal tags.

    Returns:
        Columns `image_name` (without suffix) and `tags` (distinct, in `LABELS` order, separated by a space),
        both str; the index `line` counts the file's lines from 1, the header included.

    Raises:
        UnknownTag: a tag is none of the 17 labels; the message names file, line and value.
        ArchiveError: the file is no such table, or gives one chip two different sets of tags.
    """
    cells = read_cells(path)
    names = [_name(path, line, cell) for line, cell in cells.column(COLUMNS[0])]
    tags = [_tags(path, line, cell) for line, cell in cells.column(COLUMNS[1])]
    lines = [line for line, _ in cells.rows]
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


def _name(path: Path, line: int, cell: str) -> str:
    name = chip_name(cell.strip())
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
