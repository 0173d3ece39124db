"""What an audit finds: the chips that can be used, what was left out, and the hash of the whole."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from planets.labels import LABELS

_SHOWN = 100
"""A report lists so many names of a kind and counts the rest: it must stay a small text."""


@dataclass(frozen=True)
class Chip:
    """One picture that decodes, with its labels.

    `digest` is the SHA-256 of the file's bytes (hex), not of the pixels: that is 12 times less to hash.
    """

    name: str
    path: Path
    tags: frozenset[str]
    digest: str


@dataclass(frozen=True)
class Audit:
    """The findings over one archive; all names are bare names of chips, except `stray`, which are file names.

    Attributes:
        chips: the good ones, sorted by name.
        missing: rows without a file.
        unreadable: `(name, why)` of files that do not decode to the end.
        stray: files in the folder of chips that no row names; not an error.
        duplicates: groups of names, two or more, whose files are identical.
        sizes: how many good chips are of each size, "width x height" in pixels as `"256x256"`.
        modes: how many are of each form of JPEG: `"CMYK"` (four components), `"RGB"`, `"L"`.
        labels: how many good chips carry each of the 17 labels, in `LABELS` order.
        without_weather: good chips with no weather label.
    """

    chips: tuple[Chip, ...]
    missing: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    stray: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    sizes: Mapping[str, int]
    modes: Mapping[str, int]
    labels: Mapping[str, int]
    without_weather: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows the table has: good, missing and unreadable chips together."""
        return len(self.chips) + self.bad

    @property
    def bad(self) -> int:
        """How many rows have no usable picture."""
        return len(self.missing) + len(self.unreadable)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) over names, digests and tags of the good chips, whatever their folder and order."""
        digest = hashlib.sha256()
        for chip in sorted(self.chips, key=lambda chip: chip.name):
            digest.update(json.dumps([chip.name, chip.digest, sorted(chip.tags)]).encode() + b"\n")
        return digest.hexdigest()

    def to_json(self) -> str:
        """Return the findings as a JSON object: every count in full, of each list of names the first 100."""
        report = {
            "content_hash": self.content_hash,
            "rows": self.rows,
            "chips": len(self.chips),
            "sizes": dict(self.sizes),
            "modes": dict(self.modes),
            "labels": dict(self.labels),
            "missing": _listed(self.missing),
            "unreadable": _listed([f"{name}: {why}" for name, why in self.unreadable]),
            "stray": _listed(self.stray),
            "duplicates": _listed([list(group) for group in self.duplicates]),
            "without_weather": _listed(self.without_weather),
        }
        return json.dumps(report, indent=2)

    def summary(self) -> list[str]:
        """Return the findings as lines for a person; what was not found has no line."""
        lines = [
            f"{len(self.chips):,} of {self.rows:,} chips are good: "
            f"{_counts(self.sizes)} px, {_counts(self.modes)}",
            f"labels: {_counts(self.labels)}",
        ]
        findings: list[tuple[str, Sequence[str]]] = [
            ("missing, left out", self.missing),
            ("unreadable, left out", [f"{name} ({why})" for name, why in self.unreadable]),
            ("files without a row, ignored", self.stray),
            (
                "groups of identical chips, kept together in the split",
                [" = ".join(group[:3]) for group in self.duplicates],
            ),
            ("without a weather label, kept", self.without_weather),
        ]
        lines += [f"{len(names):,} {what}: {first(names)}" for what, names in findings if names]
        return lines


def count_labels(chips: Sequence[Chip]) -> dict[str, int]:
    """Count the chips that carry each label, in `LABELS` order."""
    return {label: sum(label in chip.tags for chip in chips) for label in LABELS}


def first(names: Sequence[str], shown: int = 5) -> str:
    """Join the first few names, and say how many more there are."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {count:,}" for key, count in counts.items())


def _listed(items: Sequence[object]) -> dict[str, object]:
    return {"count": len(items), "first": list(items[:_SHOWN])}
