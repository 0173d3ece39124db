"""`output/best`: the bundle of the selected model, replaced as a whole or not at all."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from clearml import Task

from pipeline.errors import Unfinished
from planets.bundle.card import CARD, model_card
from planets.bundle.manifest import METRICS, BundleInfo


def install_bundle(evaluate_id: str, folder: Path, comparisons: dict[str, Any]) -> None:
    """Put the bundle that the evaluation `evaluate_id` made at `folder`, in place of an earlier one.

    Its `metrics.json` gets `comparisons`: how much better it is than each other model of the run. Its model
    card is written from both.

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
        metrics = json.loads((new / METRICS).read_text(encoding="utf-8")) | {"comparisons": comparisons}
        (new / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        (new / CARD).write_text(model_card(BundleInfo.read(new), metrics), encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
