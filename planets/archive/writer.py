"""An archive of chips: audited by decoding every picture, and laid out anew from the good ones."""

import hashlib
import io
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from planets.archive.audit import Audit, Chip, count_labels, first
from planets.archive.layout import CHIPS, TABLE, Archive, find_archive, source_stamp
from planets.archive.table import Row, write_table
from planets.chips import ArchiveError
from planets.chips.jpeg import decode
from planets.labels import WEATHER

__all__ = ["Archive", "Audit", "Chip", "Row", "audit", "find_archive", "source_stamp", "write_archive"]


class BadChips(ArchiveError):
    """More chips are missing or unreadable than the configuration allows."""


@dataclass(frozen=True)
class _Good:
    chip: Chip
    mode: str
    size: str


@dataclass(frozen=True)
class _Bad:
    name: str
    why: str | None
    """None: there is no file."""


def audit(archive: Archive, max_bad_fraction: float, threads: int | None = None) -> Audit:
    """Decode every chip to its end and report what is good, and what is missing, broken, stray or double.

    Args:
        archive: what `find_archive` found.
        max_bad_fraction: the share of rows, 0 to 1, that may lack a usable picture; those are left out.
        threads: how many decode at once; None: one per core.

    Raises:
        BadChips: more than that are missing or unreadable, or none is good.
    """
    rows = sorted(archive.rows, key=lambda row: row.name)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        looks = list(pool.map(lambda row: _look(archive.chips, row), rows))
    result = _report(archive, looks)
    if result.bad > max_bad_fraction * result.rows or not result.chips:
        raise BadChips(_complaint(archive, result, max_bad_fraction))
    return result


def write_archive(chips: Iterable[Chip], folder: Path) -> Path:
    """Lay out `chips` as `folder/train-jpg/<name>.jpg` and `folder/train_classes.csv`, sorted by name.

    The files are copies. A hard link would save 16 kB a chip, but it is the same file as the user's: an edit
    in place on either side would change a registered dataset, or the user's own data. Each copy is checked
    against the digest of the audit. The folder appears complete or not at all.

    Raises:
        ArchiveError: `folder` holds something already, or a chip has changed since it was audited.
    """
    ordered = sorted(chips, key=lambda chip: chip.name)
    with new_folder(folder) as new:
        (new / CHIPS).mkdir()
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(lambda chip: _copy(chip, new / CHIPS), ordered):
                pass
        write_table(new / TABLE, ((chip.name, chip.tags) for chip in ordered))
    return folder


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Hand out a temporary folder that becomes `folder` when the block ends well, and vanishes when it fails.

    Raises:
        ArchiveError: `folder` is a file, or a folder that is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArchiveError(f"{folder} exists already; name a new or an empty folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield new
        # mkdtemp makes it private to its owner; workers that run as another user read it too.
        new.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _look(folder: Path, row: Row) -> _Good | _Bad:
    path = folder / f"{row.name}.jpg"
    try:
        data = path.read_bytes()
        height, width, _ = decode(data).shape
    except FileNotFoundError:
        return _Bad(row.name, None)
    except OSError as error:
        return _Bad(row.name, f"cannot be read: {error.strerror}")
    except ArchiveError as error:
        return _Bad(row.name, str(error))
    with Image.open(io.BytesIO(data)) as header:
        mode = header.mode
    chip = Chip(row.name, path, row.tags, hashlib.sha256(data).hexdigest())
    return _Good(chip, mode, f"{width}x{height}")


def _report(archive: Archive, looks: Sequence[_Good | _Bad]) -> Audit:
    good = [look for look in looks if isinstance(look, _Good)]
    bad = [look for look in looks if isinstance(look, _Bad)]
    chips = tuple(look.chip for look in good)
    return Audit(
        chips=chips,
        missing=tuple(look.name for look in bad if look.why is None),
        unreadable=tuple((look.name, look.why) for look in bad if look.why is not None),
        stray=_stray(archive),
        duplicates=_duplicates(chips),
        sizes=dict(Counter(look.size for look in good).most_common()),
        modes=dict(Counter(look.mode for look in good).most_common()),
        labels=count_labels(chips),
        without_weather=tuple(chip.name for chip in chips if chip.tags.isdisjoint(WEATHER)),
    )


def _stray(archive: Archive) -> tuple[str, ...]:
    expected = {f"{row.name}.jpg" for row in archive.rows}
    return tuple(sorted({file.name for file in archive.chips.iterdir()} - expected))


def _duplicates(chips: Iterable[Chip]) -> tuple[tuple[str, ...], ...]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for chip in chips:
        groups[chip.digest].append(chip.name)
    return tuple(sorted(tuple(names) for names in groups.values() if len(names) > 1))


def _complaint(archive: Archive, found: Audit, allowed: float) -> str:
    unreadable = [f"{name} ({why})" for name, why in found.unreadable]
    parts = [
        f"{len(names):,} {what}: {first(names)}"
        for what, names in (("missing", found.missing), ("unreadable", unreadable))
        if names
    ]
    return (
        f"{archive.chips}: {found.bad:,} of the {found.rows:,} chips in {archive.table} cannot be used, "
        f"{found.bad / found.rows:.2%} where {allowed:.2%} is allowed; {'; '.join(parts)}. "
        "Unpack the archive again, or delete these rows, or allow more with max_bad_fraction"
    )


def _copy(chip: Chip, folder: Path) -> None:
    data = chip.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != chip.digest:
        raise ArchiveError(f"{chip.path} has changed since it was audited; run the audit again")
    with (folder / f"{chip.name}.jpg").open("xb") as file:
        file.write(data)
