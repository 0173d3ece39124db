"""`output/best`: the bundle of the selected model, replaced as a whole or not at all."""

import shutil
import tempfile
from pathlib import Path

from clearml import Task

from pipeline.errors import Unfinished


def install_bundle(evaluate_id: str, folder: Path) -> None:
    """Put the bundle that the evaluation `evaluate_id` made at `folder`, in place of an earlier one.

    Raises:
        Unfinished: the task has no bundle, or it cannot be had.
    """
    artifact = Task.get_task(task_id=evaluate_id).artifacts.get("bundle")
    if artifact is None:
        raise Unfinished(f"task {evaluate_id} has no bundle: it is no evaluation that completed")
    unpacked = Path(artifact.get_local_copy(raise_on_error=True))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        shutil.copytree(unpacked, new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
