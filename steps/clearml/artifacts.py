"""Artifacts that steps leave to each other: files, folders, and arrays."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from clearml import Task
from numpy.typing import NDArray

from steps.clearml.errors import StepError
from steps.clearml.uploads import upload_artifact


def artifact_file(task_id: str, name: str) -> Path:
    """Return a local copy of an artifact; for a folder that was uploaded, the unpacked folder.

    Raises:
        StepError: the task has no such artifact, or its file cannot be read.
    """
    task = Task.get_task(task_id=task_id)
    artifacts = task.artifacts
    if name not in artifacts:
        raise StepError(f"task {task_id} has no artifact {name!r}; it has: {', '.join(artifacts) or 'none'}")
    try:
        return Path(artifacts[name].get_local_copy(raise_on_error=True))
    except ValueError as error:
        raise StepError(
            f"the artifact {name!r} of task {task_id} cannot be read: {error}; if its file is lost, run "
            f"again with `--refresh {task.name}`"
        ) from error


def store_arrays(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Upload arrays as the artifact `name` of this task, one npz file."""
    with tempfile.TemporaryDirectory() as workdir:
        file = Path(workdir) / f"{name}.npz"
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
        upload_artifact(name, file)


def load_arrays(task_id: str, name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of the npz artifact `name` of another task."""
    with np.load(artifact_file(task_id, name), allow_pickle=False) as opened:
        return dict(opened)
