"""Arrays that one step leaves to another, as npz artifacts."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.clearml.task import artifact_file, current_task


def store_arrays(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Upload arrays as the artifact `name` of this task, one npz file."""
    with tempfile.TemporaryDirectory() as workdir:
        file = Path(workdir) / f"{name}.npz"
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
        current_task().upload_artifact(name, file, wait_on_upload=True)


def load_arrays(task_id: str, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of the npz artifact `name` of another task."""
    with np.load(artifact_file(task_id, name), allow_pickle=False) as opened:
        return dict(opened)
