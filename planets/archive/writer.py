"""New folders in the Kaggle layout, which appear complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from planets.archive.layout import CHIPS, TABLE
from planets.archive.table import write_table
from planets.chips import ArchiveError
from planets.system import usable_cores


def chip_path(name: str) -> str:
    """Return the path of a chip in the folders that `write_archive` writes, `train-jpg/<name>.jpg`."""
    return f"{CHIPS}/{name}.jpg"


def write_archive(chips: pd.DataFrame, folder: Path, copied: pd.DataFrame | None = None) -> Path:
    """Copy audited chips to `folder/train-jpg/<name>.jpg`, and write `folder/train_classes.csv`, by name.

    Files are copied, not linked: a hard link would save 16 kB a chip, but an edit in place on either side
    would change a registered dataset or the user's own data. Size and mtime of each file are compared with
    those of the audit after the copy; the files are not hashed again.

    Args:
        chips: rows of `Audit.chips`.
        folder: a new or an empty folder.
        copied: the rows of `chips` whose files are copied; None for all. The table has all rows.

    Raises:
        ArchiveError: `folder` is not empty, or a chip has changed since it was audited.
    """
    files = chips if copied is None else copied
    columns = ("image_name", "path", "size", "mtime_ns")
    with new_folder(folder) as new:
        (new / CHIPS).mkdir()
        with ThreadPoolExecutor(usable_cores()) as pool:
            copies = pool.map(lambda *chip: _copy(new, *chip), *(files[c] for c in columns))
            for _ in copies:
                pass
        write_table(new / TABLE, chips.sort_values("image_name"))
    return folder


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` on success and deleted on failure.

    Raises:
        ArchiveError: `folder` is a file, or a folder that is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArchiveError(f"{folder} exists already; name a new or an empty folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield new
        # mkdtemp makes it private to its owner; workers of other users read it, too.
        new.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _copy(folder: Path, name: str, path: Path, size: int, mtime_ns: int) -> None:
    with path.open("rb") as source, (folder / chip_path(name)).open("xb") as copy:
        shutil.copyfileobj(source, copy)
        status = os.fstat(source.fileno())
    if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
        raise ArchiveError(f"{path} has changed since it was audited; run the audit again")
