"""Models in ClearML: registration, lookup with their evaluations, and the checkpoint of a training."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from clearml import Model, OutputModel, Task

from steps.clearml.artifacts import artifact_file
from steps.clearml.errors import StepError
from steps.clearml.task import ParentFailed, current_task, require_completed
from steps.clearml.uploads import artifact_is_stored, upload_model

CHECKPOINT = "checkpoint"
"""Artifact of a training: its checkpoint, for a worker that takes the training over."""


class NothingToSelect(StepError):
    """No evaluation completed, so there is no best model."""


class Evaluation(NamedTuple):
    """The scores of one model, as its evaluation returned them; `task_id` is the evaluation."""

    name: str
    valid_f2: float
    test_f2: float
    model_id: str
    task_id: str


def register_model(name: str, weights: Path, settings: dict[str, object], labels: tuple[str, ...]) -> str:
    """Register `weights` as this task's one model, and return the model's id."""
    model = OutputModel(
        task=current_task(),
        name=name,
        framework="PyTorch",
        config_dict=settings,
        label_enumeration={label: index for index, label in enumerate(labels)},
    )
    upload_model(model, weights)
    return str(model.id)


def note_scores(model: Model, valid_f2: float, test_f2: float) -> None:
    """Keep the scores with a registered model, for lists of models."""
    for name, value in (("valid_f2", valid_f2), ("test_f2", test_f2)):
        model.set_metadata(name, f"{value:.6f}", "float")


def model_weights(model_id: str, again: bool = False) -> Path:
    """Return a local copy of a model's weights, downloaded `again` or cached. Raises StepError."""
    model = Model(model_id)
    try:
        file = model.get_weights(raise_on_error=True, force_download=again)
    except ValueError as error:
        raise StepError(
            f"the weights of the model {model.name!r} ({model_id}) cannot be read: {error}; if their file "
            "is lost, run again with `--refresh` and the step that trained it"
        ) from error
    if file is None:  # the SDK only logs why
        raise StepError(f"this server has no model {model_id}, or the model has no weights; correct the id")
    return Path(file)


def trained_model(train_id: str) -> str:
    """Return the id of a training's model. Raises ParentFailed when the training did not complete.

    A plain training evaluates in the task that trained, which has not completed yet.
    """
    task = current_task()
    training = task if train_id == task.id else require_completed(train_id)
    return str(training.get_parameters()["return/model_id"])


def earlier_checkpoint() -> Path | None:
    """Return the checkpoint of an earlier attempt at this task, or of a stopped task that it repeats.

    A checkpoint that is not stored whole is passed over: the worker may have been lost while it replaced it.
    """
    task = current_task()
    # Our epochs continue by themselves; ClearML would add them to the last iteration that it knows.
    task.set_initial_iteration(0)
    for holder in (task, *_stopped_equal(task)):
        if CHECKPOINT in holder.artifacts:
            if artifact_is_stored(holder, CHECKPOINT):
                return artifact_file(holder.id, CHECKPOINT)
            print(f"the checkpoint of task {holder.id} is not stored whole and is passed over")
    return None


def _stopped_equal(task: Task) -> Iterator[Task]:
    """Yield the stopped tasks of the same run, inputs and code, the latest first.

    A resumed run creates a new task for a training that was stopped. ClearML stores the digest of a step's
    inputs and code in its task; its cache finds equal steps by the same digest.
    """
    digest = task.data.runtime.get("pipeline_job_hash")
    equal = Task.query_tasks(
        task_filter={
            "parent": task.parent,
            "status": ["stopped", "failed"],
            "_all_": {"fields": ["runtime.pipeline_job_hash"], "pattern": f"^{digest}$"},
            "order_by": ["-created"],
            "search_hidden": True,
        },
    )
    for task_id in equal:
        yield Task.get_task(task_id=task_id)


def completed_of(candidates: str) -> dict[str, str]:
    """Return those of `name=task_id name=task_id ...` that completed, by name; print the others."""
    completed = {}
    for candidate in candidates.split():
        name, task_id = candidate.split("=")
        try:
            completed[name] = require_completed(task_id).id
        except ParentFailed as error:
            print(f"{name} is left out: {error}")
    return completed


def evaluation_of(task_id: str) -> Evaluation:
    """Read what an evaluation returned. Raises ParentFailed when it did not complete."""
    parameters = require_completed(task_id).get_parameters()
    return Evaluation(
        name=parameters["return/name"],
        valid_f2=float(parameters["return/valid_f2"]),
        test_f2=float(parameters["return/test_f2"]),
        model_id=parameters["return/model_id"],
        task_id=task_id,
    )
