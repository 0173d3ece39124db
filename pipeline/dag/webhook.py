"""What its controller tells of a run: that it failed, that it made a new published best."""

import json
from collections.abc import Iterable
from typing import Any

from clearml import PipelineController, Task

from pipeline.api import Api
from pipeline.dag.notify import notify, webhook


def tell_failure(pipe: PipelineController, reason: str) -> None:
    """Tell that the run failed, and of which steps."""
    notify(webhook(), _document(pipe, "run_failed", f"failed: {reason}", {"reason": reason}))


def tell_new_best(pipe: PipelineController, nodes: Iterable[PipelineController.Node]) -> None:
    """Tell of the run's best model, if `select` published it now: not when that came from the cache."""
    select = next((node for node in nodes if node.name == "select"), None)
    if select is None or select.status != "completed":
        return
    returned = Task.get_task(task_id=select.job.task_id()).get_parameters_as_dict()["return"]
    publication = json.loads(returned["publication"])
    if publication["published"]:
        best = {name: float(returned[name]) for name in ("valid_f2", "test_f2")}
        best |= {"name": returned["name"], "model_id": returned["model_id"]}
        text = f"new best {returned['name']}, test F2 {best['test_f2']:.4f}; {publication['why']}"
        notify(webhook(), _document(pipe, "new_best", text, {"best": best, "publication": publication}))


def _document(pipe: PipelineController, event: str, text: str, more: dict[str, Any]) -> dict[str, Any]:
    """What a receiver gets: `text` for Slack and its like, the rest for programs."""
    task = pipe.task
    address = f"{Api().web}/pipelines/{task.project}/experiments/{task.id}"
    told = {"event": event, "run": task.name, "run_id": task.id, "url": address}
    return {"text": f"{task.name} {text} {address}", **told, **more}
