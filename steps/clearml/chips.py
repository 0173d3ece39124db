"""A registered dataset as the steps read it: names, files, labels, splits, and this host's decoded store."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from clearml import Dataset, Task
from filelock import FileLock
from numpy.typing import NDArray

from planets.archive.table import find_archive, label_matrix
from planets.chips.store import ChipStore
from planets.labels import LabelSet
from planets.system import ProgressLines, chip_count
from steps.clearml.artifacts import artifact_file
from steps.clearml.errors import StepError
from steps.clearml.task import CONTENT, host_cache
from steps.clearml.uploads import require_readable, upload_artifact

SOURCE = "source"
"""Kind of the tag that names the origin of a dataset's chips, as in `source:kaggle`."""

LABEL_SET = "label_set"
"""Configuration object of a dataset's task that holds its label set as JSON."""

SPLIT = "split"
"""Artifact of the split: the CSV table of each chip's name, part and file's digest."""


@dataclass(frozen=True)
class RegisteredChips:
    """The chips of a dataset in its table's order.

    Attributes:
        dataset_id: the dataset's version.
        folder: its copy on this host.
        names: chip names, `(N,)`.
        files: their JPEG files.
        labels: zeros and ones, `(N, L)`.
        label_names: the L labels.
        content: hash that names the content on every host.
        source: sample, local, kaggle or unknown.
    """

    dataset_id: str
    folder: Path
    names: tuple[str, ...]
    files: tuple[Path, ...]
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    content: str
    source: str

    def digests(self) -> list[str]:
        """Return the SHA-256 (hex) of each file, computed by ClearML on upload; exact duplicates are equal.

        ClearML has no digest of files that a version only links to: these are read.
        """
        entries = Dataset.get(dataset_id=self.dataset_id, silence_alias_warnings=True).file_entries_dict
        digests = []
        for file in self.files:
            entry = entries.get(file.relative_to(self.folder).as_posix())
            digest = entry.hash if entry is not None else None
            digests.append(digest or hashlib.sha256(file.read_bytes()).hexdigest())
        return digests

    def parts(self, split_id: str) -> NDArray[np.str_]:
        """Return the part (`train`, `valid`, `test`) of each chip from the table of the task `split_id`."""
        table = pd.read_csv(artifact_file(split_id, SPLIT), dtype=str, keep_default_na=False).set_index(
            "name"
        )
        return table.loc[list(self.names), "part"].to_numpy(dtype=str)

    def store_parts(self, parts: NDArray[np.str_], digests: Sequence[str]) -> str:
        """Upload the table of each chip's part as this task's artifact `split`, and return its text."""
        table = pd.DataFrame({"name": self.names, "part": parts, "digest": digests})
        text = str(table.to_csv(index=False, lineterminator="\n"))
        upload_artifact(SPLIT, text, ".csv")
        return text


def read_chips(dataset_id: str, labels: str) -> RegisteredChips:
    """Read a registered dataset from its local copy on this host; `labels` are separated by spaces.

    Raises:
        UnknownTag: a chip has a tag that is not in the label set.
    """
    folder = local_copy(dataset_id)
    names = tuple(labels.split())
    archive = find_archive(folder, LabelSet(labels=names))
    return RegisteredChips(
        dataset_id=dataset_id,
        folder=folder,
        names=tuple(archive.rows["image_name"]),
        files=archive.files,
        labels=label_matrix(archive.rows["tags"], names),
        label_names=names,
        content=tag_value(dataset_id, CONTENT),
        source=tag_value(dataset_id, SOURCE) or "unknown",
    )


def open_store(chips: RegisteredChips, size: int) -> ChipStore:
    """Open the decoded store of these chips at `size` pixels, built once per host for all its workers."""
    files = list(zip(chips.names, chips.files, strict=True))
    lines = ProgressLines("decoding", len(files), print, chip_count)
    return ChipStore.open(
        host_cache() / "chips",
        chips.content,
        size,
        files,
        digests=chips.digests,
        progress=lambda done, _: lines(done),
    )


def local_copy(dataset_id: str) -> Path:
    """Return a read-only copy of a dataset on this host.

    The lock is ours: without it two workers of a host can delete each other's half-extracted copy. It is one
    lock for all datasets, because the copy of a version extracts its ancestors, too.

    Raises:
        StepError: files are missing in the copy; ClearML reports no failure to unpack, such as a full disk.
        NotStored: files of the dataset are missing on the server.
    """
    cache = host_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "datasets.lock"):
        try:
            dataset = Dataset.get(dataset_id=dataset_id, alias="chips", silence_alias_warnings=True)
            folder = Path(dataset.get_local_copy())
        except ValueError:
            require_readable(dataset_id)
            raise
        for name, entry in dataset.file_entries_dict.items():
            file = folder / name
            if not file.is_file() or file.stat().st_size != entry.size:
                require_readable(dataset_id)
                raise StepError(
                    f"the copy of dataset {dataset_id} lacks {file}: free some space on the disk of {cache} "
                    "and run again"
                )
        return folder


def tag_value(dataset_id: str, kind: str) -> str:
    """Return the value of the dataset's tag `<kind>:<value>`; empty if it has none."""
    tags: list[str] = Task.get_task(task_id=dataset_id).get_tags()
    values = [tag.removeprefix(f"{kind}:") for tag in tags if tag.startswith(f"{kind}:")]
    return values[0] if values else ""
