"""The layouts of an archive: the file of a chip, the names of folders and tables, and where they lie.

The Kaggle layout has a folder of chips and a table of their labels; the other layout has a folder per label.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from planets.chips import ArchiveError

CHIPS = "train-jpg"
TEST_CHIPS = ("test-jpg", "test-jpg-additional")

TABLE = "train_classes.csv"
TABLES = (TABLE, "train_v2.csv")
"""Names of the label table: in the dataset, and in Kaggle's competition, where the data come from."""

SUBMISSIONS = ("sample_submission.csv", "sample_submission_v2.csv")
"""Names of the table of all test chips, likewise."""

COLUMNS = ("image_name", "tags")
"""Columns of every table of the dataset: labels, submission and predictions."""

LAYOUTS = (Path(), Path("planet"), Path("planet/planet"))
"""Where chips and table may lie: in the folder, in the archive's `planet/`, or in the whole archive."""

SUFFIXES = (".jpg", ".jpeg")
"""Suffixes of chips, case-insensitive. Models are trained on JPEG files, so other formats are refused."""


def is_chip(name: str) -> bool:
    """Return True for the name of a chip's file; hidden files, such as macOS's `._train_0.jpg`, are none."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def chip_name(text: str) -> str:
    """Return the name of a chip, written in a table with or without the suffix of its file."""
    return text[: -len(Path(text).suffix)] if is_chip(text) else text


def chip_files(folder: Path) -> dict[str, Path]:
    """Return the chips in a folder, by name.

    Raises:
        ArchiveError: two files belong to one name, such as `train_0.jpg` and `train_0.JPG`.
    """
    return by_name((chip_name(file.name), file) for file in folder.iterdir() if is_chip(file.name))


def other_files(folder: Path) -> dict[str, str]:
    """Return the names of the files in a folder that are no chips, such as `train_0.png`, by stem."""
    return {file.stem: file.name for file in folder.iterdir() if not is_chip(file.name)}


def by_name(files: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return named files as a dictionary, sorted by name. Raises ArchiveError if two files share a name."""
    named: dict[str, Path] = {}
    for name, path in sorted(files):
        if name in named:
            raise ArchiveError(
                f"{named[name]} and {path} would both be {name!r} in the table; rename one of them"
            )
        named[name] = path
    return named


def locate(folder: Path) -> tuple[Path, Path]:
    """Return the folder of chips and the label table below `folder`; neither is opened.

    Raises:
        ArchiveError: they are missing or ambiguous; the message names every place that was searched.
    """
    if folder.is_file():
        raise ArchiveError(f"{folder} is a file; unpack it and name the folder it was unpacked to")
    if not folder.is_dir():
        raise ArchiveError(f"{folder} does not exist; name the folder that the archive was unpacked to")
    for base in (folder / layout for layout in LAYOUTS):
        chips, table = find_folder(base, CHIPS), find_table(base, TABLES)
        if chips and table:
            return chips, table
    searched = "; ".join(_contents(folder / layout) for layout in LAYOUTS)
    raise ArchiveError(
        f"no chips found in {folder}; looked for {CHIPS}/ beside {' or '.join(TABLES)} in: {searched}; "
        "and for folders of JPEG files, one per label"
    )


def class_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of chips below `folder`, by name, where each holds the chips of one label.

    Empty if `folder` has the Kaggle layout, even an incomplete one.
    """
    if not folder.is_dir():
        return {}
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    kaggle = {CHIPS, *TEST_CHIPS, *LAYOUTS[-1].parts}
    if kaggle & {path.name for path in below} or find_table(folder, (*TABLES, *SUBMISSIONS)):
        return {}
    return {path.name: path for path in below if holds_chips(path)}


def find_folder(base: Path, name: str) -> Path | None:
    """Return the folder of chips `base/name`, or the one of the same name in it; None if there is neither.

    Tools that unpack into a folder of the archive's name double it.

    Raises:
        ArchiveError: both hold chips.
    """
    outer, inner = base / name, base / name / name
    if not inner.is_dir():
        return outer if outer.is_dir() else None
    if not holds_chips(outer):
        return inner
    if holds_chips(inner):
        raise ArchiveError(f"both {outer} and {inner} hold chips; keep one of the two folders")
    return outer


def find_table(base: Path, names: Iterable[str]) -> Path | None:
    """Return the one table of these names in `base`, if there is one.

    Raises:
        ArchiveError: there are several, and their contents differ.
    """
    tables = [base / name for name in names if (base / name).is_file()]
    if len({table.read_bytes() for table in tables}) > 1:
        raise ArchiveError(f"{' and '.join(map(str, tables))} differ; keep one of them")
    return tables[0] if tables else None


def holds_chips(folder: Path) -> bool:
    """Return True if a chip's file lies directly in the folder."""
    with os.scandir(folder) as entries:
        return any(is_chip(entry.name) for entry in entries)


def source_stamp(folder: Path) -> str:
    """Return a SHA-256 (hex) over path, size and mtime of the table and the chips, without reading a chip.

    The stamp changes when the folder changes; it does not identify content: two copies have two stamps.

    Raises:
        ArchiveError: `folder` holds no archive, or its chips cannot be listed.
    """
    stamps = []
    folders = {f"{label}/": path for label, path in class_folders(folder).items()}
    if not folders:
        chips, table = locate(folder)
        folders = {"": chips}
        stamps.append(_stamp(f"../{table.name}", table))
    for prefix, chips in folders.items():
        try:
            with os.scandir(chips) as entries:
                stamps += [_stamp(f"{prefix}{entry.name}", entry) for entry in entries]
        except OSError as error:
            raise ArchiveError(f"{chips} cannot be listed: {error.strerror}; make it readable") from error
    return hashlib.sha256("".join(sorted(stamps)).encode(errors="surrogateescape")).hexdigest()


def _contents(base: Path) -> str:
    if not base.is_dir():
        return f"{base} (no such folder)"
    chips = "is there" if (base / CHIPS).is_dir() else "is missing"
    table = "is there" if any((base / name).is_file() for name in TABLES) else "is missing"
    return f"{base} ({CHIPS}/ {chips}, {TABLE} {table})"


def _stamp(name: str, file: os.DirEntry[str] | Path) -> str:
    try:
        status = file.stat()
    except FileNotFoundError:
        return f"{name}\0broken link\n"
    return f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
