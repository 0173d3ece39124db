"""The ClearML calls that steps share: datasets and results found by content, models, scalars."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_STORED

from clearml import Dataset, Model, OutputModel, Task
from clearml.backend_api import Session
from clearml.config import config
from filelock import FileLock

from steps.errors import ParentFailed, StepError

DONE = ("completed", "published")

CONTENT, SOURCE = "content", "source"
"""Kinds of tags of a dataset, as in `content:<hash>`: by the one it is found, the other is told."""


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
    """The tag by which equal content is found again."""
    return f"{CONTENT}:{content_hash}"


def find_dataset(project: str, name: str, content_hash: str) -> str | None:
    """The id of the oldest finished dataset of this name with this content, if there is one."""
    found = Dataset.list_datasets(
        dataset_project=project,
        partial_name=f"^{name}$",
        tags=[content_tag(content_hash)],
        only_completed=True,
        include_archived=False,
    )
    done = sorted((each["created"], each["id"]) for each in found if str(each["status"]) in DONE)
    return done[0][1] if done else None


def upload_dataset(project: str, name: str, content_hash: str, folder: Path, source: str) -> str:
    """Upload `folder` as a new version of a dataset, still a draft, and return its id.

    `source` is where the chips come from: sample, local or kaggle.

    The chips are JPEGs: they are stored, not compressed. Chunks are large, because every chunk writes the
    state of the whole dataset again.
    """
    tags = [content_tag(content_hash), f"{SOURCE}:{source}"]
    dataset = Dataset.create(dataset_name=name, dataset_project=project, dataset_tags=tags)
    dataset.add_files(folder, verbose=False)
    dataset.upload(
        show_progress=False, compression=ZIP_STORED, chunk_size=1024, preview=False, output_url=storage()
    )
    return str(dataset.id)


def finalize_dataset(dataset_id: str) -> None:
    """End the draft `dataset_id`, if it is one: its content can be read and never changes again."""
    dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    if not dataset.is_final():
        dataset.finalize()


def local_dataset(dataset_id: str) -> Path:
    """A read-only copy of a dataset on this host. Raises StepError when the dataset is gone.

    The lock is ours: two workers of a host can delete each other's half-extracted copy without it.
    """
    cache = host_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"dataset-{dataset_id}.lock"):
        dataset = Dataset.get(dataset_id=dataset_id, alias="chips", silence_alias_warnings=True)
        return Path(dataset.get_local_copy())


def dataset_content(dataset_id: str) -> str:
    """The content tag's value of a dataset: names the decoded store of its chips on every host."""
    return next(_tag_values(dataset_id, CONTENT))


def dataset_source(dataset_id: str) -> str:
    """Where a dataset was registered from; `unknown` for one that does not say so."""
    return next(_tag_values(dataset_id, SOURCE), "unknown")


def _tag_values(dataset_id: str, kind: str) -> Iterator[str]:
    tags: list[str] = Task.get_task(task_id=dataset_id).get_tags()
    return (tag.removeprefix(f"{kind}:") for tag in tags if tag.startswith(f"{kind}:"))


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


def report_epoch(epoch: int, metrics: dict[str, float]) -> None:
    """One point per metric; `train_loss` and `valid_loss` are two series of the plot `loss`."""
    logger = current_task().get_logger()
    for metric, value in metrics.items():
        part, _, title = metric.partition("_")
        if part not in ("train", "valid"):
            part, title = metric, metric
        logger.report_scalar(title=title, series=part, value=value, iteration=epoch)


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
