"""The label table of an archive: `image_name,tags` as CSV, read strictly into a DataFrame."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planets.archive.cells import read_cells
from planets.archive.layout import COLUMNS, by_name, chip_files, chip_name, class_folders, locate
from planets.chips import ArchiveError
from planets.labels import Group, LabelSet, UnknownTag, parse_tags

_NAME = re.compile(r"\w[\w. -]*", re.ASCII)
"""Bare file names: nothing that could leave the folder of chips."""


@dataclass(frozen=True, eq=False)
class Archive:
    """A folder in the Kaggle layout, or one with a folder per label; nothing in it is ever written.

    Attributes:
        root: the folder given by the user.
        folders: the folders of labelled chips, by the prefix that names their chips: one without a prefix, or
            one per label.
        table: the file of labels; where each label has a folder, `root`.
        labels: the labels of the columns.
        rows: the labels of each chip, see `read_table`.
    """

    root: Path
    folders: Mapping[str, Path]
    table: Path
    labels: LabelSet
    rows: pd.DataFrame

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The file of each row; where there is none, the path that it should have.

        Raises:
            ArchiveError: two files belong to one chip.
        """
        files = _files(self.folders)
        first = next(iter(self.folders.values()))
        return tuple(files.get(name, first / f"{name}.jpg") for name in self.rows["image_name"])


def find_archive(folder: Path, labels: LabelSet) -> Archive:
    """Find the chips in `folder`, and read their labels from the table or from the names of their folders.

    Raises:
        ArchiveError: chips or table are missing, or the table is faulty.
        UnknownTag: a tag of the table or the name of a folder is not in `labels`.
    """
    classes = class_folders(folder)
    if classes:
        folders = {f"{label}-": path for label, path in classes.items()}
        return Archive(folder, folders, folder, labels, _read_folders(folders, labels))
    chips, table = locate(folder)
    return Archive(folder, {"": chips}, table, labels, read_table(table, labels))


def discover_labels(folder: Path) -> LabelSet:
    """Return the tags of the label table in `folder` as a label set, or the names of its folders, sorted.

    Raises:
        ArchiveError: there is no archive in `folder`, or its table cannot be read.
        ValueError: a tag cannot be a label.
    """
    classes = tuple(sorted(class_folders(folder)))
    if classes:
        return LabelSet(labels=classes, groups=(Group(name="class", labels=classes),))
    _, table = locate(folder)
    cells = read_cells(table).column(COLUMNS[1])
    return LabelSet(labels=tuple(sorted({tag for _, cell in cells for tag in parse_tags(cell)})))


def _files(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the chips of several folders by name, each name with the prefix of its folder."""
    return by_name(
        (f"{prefix}{name}", file)
        for prefix, folder in folders.items()
        for name, file in chip_files(folder).items()
    )


def _read_folders(folders: Mapping[str, Path], labels: LabelSet) -> pd.DataFrame:
    """Return the rows of `read_table` for chips whose one tag is the name of their folder."""
    for folder in folders.values():
        try:
            labels.require(folder.name)
        except UnknownTag as error:
            raise UnknownTag(f"{folder}: {error}") from None
    files = _files(folders)
    for name, file in files.items():
        if not _NAME.fullmatch(name):
            raise ArchiveError(
                f"{file}: {name!r} cannot name a chip; use letters, digits, space, dot, hyphen and underscore"
            )
    tags = [file.parent.name for file in files.values()]
    return pd.DataFrame({"image_name": list(files), "tags": tags}, dtype="str")


def read_table(path: Path, labels: LabelSet) -> pd.DataFrame:
    """Read a label table: one row per chip, in the file's order.

    Accepts what `read_cells` does, additional columns, names with the suffix of their file, repeated tags
    within a row, and repeated rows with equal tags.

    Returns:
        Columns `image_name` (without suffix) and `tags` (distinct, in the order of `labels`, separated by a
        space), both str; the index `line` counts the file's lines from 1, the header included.

    Raises:
        UnknownTag: a tag is not in `labels`; the message names file, line and value.
        ArchiveError: the file is no such table, or gives one chip two different sets of tags.
    """
    cells = read_cells(path)
    names = [_name(path, line, cell) for line, cell in cells.column(COLUMNS[0])]
    tags = [_tags(path, line, cell, labels) for line, cell in cells.column(COLUMNS[1])]
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


def label_matrix(tags: "pd.Series[str]", labels: Sequence[str]) -> NDArray[np.uint8]:
    """Return the `tags` column of a label table as 0/1 of shape `(N, L)`, one column per label."""
    dummies = tags.str.get_dummies(sep=" ").reindex(columns=list(labels), fill_value=0)
    return dummies.to_numpy(dtype=np.uint8)


def examples(chips: pd.DataFrame, labels: Sequence[str], count: int) -> pd.DataFrame:
    """Return up to `count` of the rows: those with rare labels first, so that most labels are seen.

    Args:
        chips: columns `image_name` and `tags`, as in `read_table`.
        labels: the labels of the columns of `label_matrix`.
        count: number of rows at most.
    """
    present = label_matrix(chips["tags"], labels).astype(bool)
    rare_first = np.argsort(present.sum(axis=0), kind="stable")
    rows = [int(row) for label in rare_first for row in np.flatnonzero(present[:, label])[:1]]
    return chips.iloc[list(dict.fromkeys([*rows, *range(len(chips))]))[:count]]


def _name(path: Path, line: int, cell: str) -> str:
    name = chip_name(cell.strip())
    if not _NAME.fullmatch(name):
        raise ArchiveError(
            f"{path}, line {line}: {cell!r} is not a chip's name; write the bare name, such as 'train_0'"
        )
    return name


def _tags(path: Path, line: int, cell: str, labels: LabelSet) -> str:
    tags = parse_tags(cell)
    if not tags:
        raise ArchiveError(f"{path}, line {line}: no tags; name at least one label, or delete the line")
    try:
        for tag in sorted(tags):
            labels.require(tag)
    except UnknownTag as error:
        raise UnknownTag(f"{path}, line {line}: {error}") from None
    return labels.join_tags(tags)


def _refuse_conflict(path: Path, table: pd.DataFrame, conflicts: pd.DataFrame) -> NoReturn:
    line, name, tags = next(conflicts.itertuples())
    first = table[table["image_name"] == name].iloc[0]
    raise ArchiveError(
        f"{path}, line {line}: {name!r} is {tags!r} here but {first['tags']!r} on line {first.name}; "
        "keep the correct one of the two lines"
    )
