"""The audit of an archive: every chip decoded to its end, hashed once, and counted."""

import hashlib
import io
import json
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from planets.archive.layout import other_files
from planets.archive.table import Archive, label_matrix
from planets.chips import ArchiveError
from planets.chips.jpeg import decode
from planets.labels import LabelSet
from planets.system import ProgressLines, Say, chip_count, first_names, usable_cores

_LISTED = 100
"""Names per finding in a report; the rest is only counted, to keep the report small."""


class BadChips(ArchiveError):
    """More chips are missing or unreadable than the configuration allows."""


class Inspection(NamedTuple):
    """The state of one chip's file.

    Attributes:
        fault: why the chip is unusable; empty if it is good, None if there is no file.
        sha256: of the file's bytes (hex), not of the pixels, which are 12 times as many.
        dimensions: width and height in pixels, as `256x256`.
        mode: Pillow's mode of the JPEG: `CMYK` (four components), `RGB` or `L`.
        size, mtime_ns: of the file before it was read.
    """

    fault: str | None
    sha256: str = ""
    dimensions: str = ""
    mode: str = ""
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, eq=False)
class Audit:
    """The findings over one archive.

    Attributes:
        chips: the good chips, sorted by name: columns `image_name` and `tags` as in `read_table`, `path`,
            and the fields of `Inspection`.
        missing: names of rows without a file.
        unreadable: `(name, fault)` of files that do not decode to the end.
        stray: names of files in the folder of chips that no row names; not an error.
        label_set: the labels of the archive.
    """

    chips: pd.DataFrame
    missing: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    stray: tuple[str, ...]
    label_set: LabelSet

    @property
    def rows(self) -> int:
        """Number of rows of the table: good, missing and unreadable chips together."""
        return len(self.chips) + self.bad

    @property
    def bad(self) -> int:
        """Number of rows without a usable chip."""
        return len(self.missing) + len(self.unreadable)

    @cached_property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Groups of two or more chips whose files are identical."""
        copies = self.chips[self.chips.duplicated("sha256", keep=False)]
        return tuple(sorted(tuple(group) for _, group in copies.groupby("sha256")["image_name"]))

    @cached_property
    def labels(self) -> dict[str, int]:
        """Number of good chips that carry each label, in the order of the labels."""
        names = self.label_set.labels
        counts = label_matrix(self.chips["tags"], names).sum(axis=0, dtype=int)
        return dict(zip(names, counts.tolist(), strict=True))

    @cached_property
    def without_group(self) -> dict[str, tuple[str, ...]]:
        """Good chips without a label of a group, by the group's name."""
        return {
            group.name: tuple(
                self.chips["image_name"][label_matrix(self.chips["tags"], group.labels).sum(axis=1) == 0]
            )
            for group in self.label_set.groups
        }

    @property
    def sizes(self) -> dict[str, int]:
        """Number of good chips of each size, such as `256x256`, the most frequent first."""
        return _frequencies(self.chips["dimensions"])

    @property
    def modes(self) -> dict[str, int]:
        """Number of good chips of each JPEG mode, the most frequent first."""
        return _frequencies(self.chips["mode"])

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) over names, file digests and tags of the good chips, independent of their folder."""
        digest = hashlib.sha256()
        for name, sha256, tags in zip(
            *(self.chips[c] for c in ("image_name", "sha256", "tags")), strict=True
        ):
            digest.update(json.dumps([name, sha256, sorted(tags.split())]).encode() + b"\n")
        return digest.hexdigest()

    def to_json(self) -> str:
        """Return the findings as a JSON object: all counts, and the first 100 names of each finding."""
        report = {
            "content_hash": self.content_hash,
            "rows": self.rows,
            "chips": len(self.chips),
            "sizes": self.sizes,
            "modes": self.modes,
            "labels": self.labels,
            "missing": _listed(self.missing),
            "unreadable": _listed([f"{name}: {fault}" for name, fault in self.unreadable]),
            "stray": _listed(self.stray),
            "duplicates": _listed([list(group) for group in self.duplicates]),
            **{f"without_{group}": _listed(names) for group, names in self.without_group.items()},
        }
        return json.dumps(report, indent=2)

    def summary(self) -> list[str]:
        """Return the findings as lines for a person; absent findings have no line."""
        lines = [
            f"{len(self.chips):,} of {self.rows:,} chips are good: "
            f"{_counts(self.sizes)} px, {_counts(self.modes)}",
            f"labels: {_counts(self.labels)}",
        ]
        findings: list[tuple[str, Sequence[str]]] = [
            ("missing, left out", self.missing),
            ("unreadable, left out", [f"{name} ({fault})" for name, fault in self.unreadable]),
            ("files without a row, ignored", self.stray),
            (
                "groups of identical chips, kept together in the split",
                [" = ".join(group[:3]) for group in self.duplicates],
            ),
            *((f"without a {group} label, kept", names) for group, names in self.without_group.items()),
        ]
        lines += [f"{len(names):,} {finding}: {first_names(names)}" for finding, names in findings if names]
        return lines


def audit(
    archive: Archive,
    max_bad_fraction: float,
    threads: int | None = None,
    known: Collection[str] = frozenset(),
    say: Say | None = None,
) -> Audit:
    """Decode every chip to its end and report good, missing, unreadable, stray and duplicate ones.

    Args:
        archive: result of `find_archive`.
        max_bad_fraction: largest tolerated fraction of rows without a usable chip; such rows are left out.
        threads: number of decoding threads; None for one per usable core.
        known: SHA-256 (hex) of files that this code has decoded before: they are only hashed.
        say: receives progress lines; None prints nothing.

    Raises:
        BadChips: more than that are missing or unreadable, or no chip is good.
    """
    rows = archive.rows.assign(path=pd.Series(archive.files, index=archive.rows.index, dtype=object))
    rows = rows.sort_values("image_name", ignore_index=True)
    others = {
        f"{prefix}{stem}": name
        for prefix, folder in archive.folders.items()
        for stem, name in other_files(folder).items()
    }
    lines = ProgressLines("reading", len(rows), say or (lambda line: None), chip_count)
    inspected = []
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        inspect = partial(_inspect, others=others, known=known)
        for each in pool.map(inspect, rows["image_name"], rows["path"]):
            inspected.append(each)
            lines(len(inspected))
    inspections = pd.DataFrame(inspected, columns=list(Inspection._fields))
    chips = rows.join(inspections)
    is_missing = chips["fault"].isna()
    faulty = chips[~is_missing & (chips["fault"] != "")]
    result = Audit(
        chips=chips[chips["fault"] == ""].reset_index(drop=True),
        missing=tuple(chips["image_name"][is_missing]),
        unreadable=tuple(zip(faulty["image_name"], faulty["fault"], strict=True)),
        stray=_stray(archive, {*rows["path"]}),
        label_set=archive.labels,
    )
    if result.bad > max_bad_fraction * result.rows or result.chips.empty:
        raise BadChips(_complaint(archive, result, max_bad_fraction))
    return result


def _stray(archive: Archive, known: set[Path]) -> tuple[str, ...]:
    """Return the names of the files beside the chips that no row names."""
    present = (file for folder in archive.folders.values() for file in folder.iterdir())
    return tuple(sorted(file.name for file in present if file not in known))


def _inspect(name: str, path: Path, others: Mapping[str, str], known: Collection[str]) -> Inspection:
    try:
        with path.open("rb") as file:
            # Before reading: a later change of the file shows in either number.
            status = os.fstat(file.fileno())
            data = file.read()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in known:
            decode(data)
    except FileNotFoundError:
        if name in others:
            return Inspection(f"its file is {others[name]}; convert it to {path.name}")
        return Inspection(None)
    except OSError as error:
        return Inspection(f"cannot be read: {error.strerror}")
    except ArchiveError as error:
        return Inspection(str(error))
    with Image.open(io.BytesIO(data)) as header:
        mode, (width, height) = header.mode, header.size
    return Inspection("", sha256, f"{width}x{height}", mode, status.st_size, status.st_mtime_ns)


def _complaint(archive: Archive, audit: Audit, allowed: float) -> str:
    unreadable = [f"{name} ({fault})" for name, fault in audit.unreadable]
    findings = [
        f"{len(names):,} {finding}: {first_names(names)}"
        for finding, names in (("missing", audit.missing), ("unreadable", unreadable))
        if names
    ]
    return (
        f"{audit.bad:,} of the {audit.rows:,} chips in {archive.table} cannot be used, "
        f"{audit.bad / audit.rows:.2%} where {allowed:.2%} is allowed; {'; '.join(findings)}. "
        "Unpack the archive again, delete these rows, or raise dataset.max_bad_fraction"
    )


def _frequencies(values: "pd.Series[str]") -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().items()}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {count:,}" for key, count in counts.items())


def _listed(items: Sequence[object]) -> dict[str, object]:
    return {"count": len(items), "first": list(items[:_LISTED])}
