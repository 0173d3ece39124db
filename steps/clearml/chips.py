"""A registered dataset as the steps see it: names, files, labels, and the decoded store of this host."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planets.archive.table import find_archive, label_matrix
from planets.chips.store import ChipStore
from steps.clearml import datasets
from steps.clearml import task as tracking


@dataclass(frozen=True)
class RegisteredChips:
    """The chips of a dataset in its table's order; `labels` is `(N, 17)`, `content` names the content.

    `source` is where they were registered from: sample, local, kaggle or unknown.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    labels: NDArray[np.uint8]
    content: str
    source: str

    def digests(self) -> list[str]:
        """SHA-256 (hex) of each file's bytes; exact duplicates are equal."""
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files]

    def parts(self, split_id: str) -> NDArray[np.str_]:
        """The part (`train`, `valid`, `test`) of each chip, by the table that the split task holds."""
        part_of = {row["name"]: row["part"] for row in tracking.load_table(split_id, "split")}
        return np.array([part_of[name] for name in self.names])


def open_store(chips: RegisteredChips, size: int) -> ChipStore:
    """The decoded store of these chips at `size` pixels, made once per host and shared by its workers."""
    files = list(zip(chips.names, chips.files, strict=True))
    return ChipStore.open(tracking.host_cache() / "chips", chips.content, size, files)


def read_chips(dataset_id: str) -> RegisteredChips:
    """Read a registered dataset from its local copy on this host."""
    archive = find_archive(datasets.local_copy(dataset_id))
    return RegisteredChips(
        names=tuple(archive.rows["image_name"]),
        files=tuple(archive.chips / f"{name}.jpg" for name in archive.rows["image_name"]),
        labels=label_matrix(archive.rows["tags"]),
        content=datasets.content_of(dataset_id),
        source=datasets.source_of(dataset_id),
    )
