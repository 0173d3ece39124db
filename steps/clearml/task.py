"""The ClearML calls that steps share: results found by content, artifacts, models, scalars."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clearml import Model, OutputModel, Task
from clearml.backend_api import Session
from clearml.config import config

from steps.clearml.errors import ParentFailed, StepError

DONE = ("completed", "published")

CONTENT = "content"
"""Kind of the tag by which equal content is found again, as in `content:<hash>`."""


def current_task() -> Task:
    """The task that this process runs as. Raises StepError outside of one."""
    task = Task.current_task()
    if task is None:
        raise StepError("no ClearML task runs in this process: a step is started by an agent")
    return task


def host_cache() -> Path:
    """ClearML's cache folder on this host (`sdk.storage.cache.default_base_dir`), shared by its workers."""
    return Path(config.get("storage.cache.default_base_dir")).expanduser()


def storage() -> str:
    """Where this task stores what it makes: `clearml.output_uri`, the worker's default, or the file server.

    ClearML leaves some things on the worker's disk where none of the first two is set.
    """
    return str(current_task().output_uri or Session.get_files_server_host())


def content_tag(content_hash: str) -> str:
    """The tag of a task or a dataset with this content."""
    return f"{CONTENT}:{content_hash}"


def canonical(content_hash: str) -> str:
    """The id of the oldest completed task of this name and project with this content, or of this task.

    A stage that ran again with an identical result thus returns the same id, and its children stay cached.
    """
    task = current_task()
    task.add_tags([content_tag(content_hash)])
    earlier = Task.query_tasks(
        task_name=f"^{task.name}$",
        tags=[content_tag(content_hash)],
        task_filter={
            "project": [task.project],  # by id: a search by name passes over the hidden projects of pipelines
            "status": list(DONE),
            "system_tags": ["-archived"],
            "order_by": ["created"],
            "search_hidden": True,
        },
    )
    return str(next(iter(earlier), task.id))


def store_table(name: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Upload rows as the CSV artifact `name` of this task, and return its text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    current_task().upload_artifact(name, text.getvalue(), extension_name=".csv", wait_on_upload=True)
    return text.getvalue()


def load_table(task_id: str, name: str) -> list[dict[str, str]]:
    """The rows of the CSV artifact `name` of another task, as dictionaries."""
    artifact = artifact_file(task_id, name)
    with artifact.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def artifact_file(task_id: str, name: str) -> Path:
    """A local copy of an artifact; for a folder that was uploaded, the unpacked folder."""
    artifacts = Task.get_task(task_id=task_id).artifacts
    if name not in artifacts:
        raise StepError(f"task {task_id} has no artifact {name!r}; it has: {', '.join(artifacts) or 'none'}")
    return Path(artifacts[name].get_local_copy(raise_on_error=True))


def require_completed(task_id: str) -> Task:
    """The task `task_id`. Raises ParentFailed when it did not complete."""
    task = Task.get_task(task_id=task_id)
    if task.get_status() not in DONE:
        raise ParentFailed(
            f"step {task.name!r} did not complete (it is {task.get_status()}): nothing to go on with"
        )
    return task


def trained_model(train_id: str) -> str:
    """The id of the model that a training made. Raises ParentFailed when the training did not complete.

    A plain training evaluates in the task that trained, which is still at work then.
    """
    task = current_task()
    trained = task if train_id == task.id else require_completed(train_id)
    return str(trained.get_parameters()["return/model_id"])


def completed_of(candidates: str) -> dict[str, str]:
    """Those of `name=task_id name=task_id ...` that completed, by name; says which are passed over."""
    found = {}
    for candidate in candidates.split():
        name, task_id = candidate.split("=")
        try:
            found[name] = require_completed(task_id).id
        except ParentFailed as error:
            print(f"{name} is passed over: {error}")
    return found


def report_figures(figures: Mapping[str, Path], series: str) -> None:
    """Show pictures with this task, and wait for them: the folder that they lie in may be a temporary one."""
    for title, file in figures.items():
        current_task().get_logger().report_image(title, series, iteration=0, local_path=str(file))
    current_task().flush(wait_for_uploads=True)


def store_folder(name: str, folder: Path) -> None:
    """Upload a folder as the artifact `name` of this task."""
    current_task().upload_artifact(name, folder, wait_on_upload=True)


def register_model(name: str, weights: Path, settings: dict[str, object], labels: tuple[str, ...]) -> str:
    """Register `weights` as this task's one model, and return the model's id."""
    task = current_task()
    model = OutputModel(
        task=task,
        name=name,
        framework="PyTorch",
        config_dict=settings,
        label_enumeration={label: index for index, label in enumerate(labels)},
    )
    model.update_weights(
        str(weights),
        upload_uri=storage(),
        auto_delete_file=False,
        async_enable=False,
    )
    return str(model.id)


def model_weights(model_id: str) -> Path:
    """A local copy of a model's weights. Raises StepError when they cannot be had."""
    path = Model(model_id).get_weights(raise_on_error=True)
    return Path(path)


class Verdict(NamedTuple):
    """What one evaluation says of its model, as the step returned it."""

    name: str
    valid_f2: float
    test_f2: float
    model_id: str
    task_id: str


def verdict_of(task_id: str) -> Verdict:
    """Read what an evaluation returned. Raises ParentFailed when it did not complete."""
    parameters = require_completed(task_id).get_parameters()
    return Verdict(
        name=parameters["return/name"],
        valid_f2=float(parameters["return/valid_f2"]),
        test_f2=float(parameters["return/test_f2"]),
        model_id=parameters["return/model_id"],
        task_id=task_id,
    )
