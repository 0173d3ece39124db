"""`output/best`: the bundle of the selected model, replaced as a whole or not at all."""

import json
import shutil
import tempfile
from pathlib import Path

from clearml import Task

from pipeline.clearml_tasks import TaskUnavailable
from pipeline.runs.outcome import Comparisons, comparison_documents
from planets.bundle.card import CARD, model_card
from planets.bundle.manifest import METRICS, BundleInfo


def install_bundle(evaluate_id: str, folder: Path, comparisons: Comparisons) -> None:
    """Put the bundle of the evaluation `evaluate_id` at `folder`, in place of an earlier one.

    The comparisons with the other models become part of its `metrics.json` and of its model card.

    Raises:
        TaskUnavailable: the task has no bundle, or the bundle cannot be downloaded.
    """
    artifact = Task.get_task(task_id=evaluate_id).artifacts.get("bundle")
    if artifact is None:
        raise TaskUnavailable(f"task {evaluate_id} has no bundle: it is not an evaluation that completed")
    try:
        downloaded = Path(artifact.get_local_copy(raise_on_error=True))
    except ValueError as error:
        raise TaskUnavailable(f"the bundle of task {evaluate_id} cannot be downloaded: {error}") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        shutil.copytree(downloaded, new)
        metrics = json.loads((new / METRICS).read_text(encoding="utf-8"))
        metrics["comparisons"] = comparison_documents(comparisons)
        (new / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        (new / CARD).write_text(model_card(BundleInfo.read(new), metrics), encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
