"""Starting a run: what it needs from the server, the controller's task, and its queue."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clearml import PipelineController, Task
from clearml.backend_api.services import tasks

from pipeline.clearml_tasks import DONE, TaskRecord, TaskUnavailable, exactly, fetch, find
from pipeline.config.parameters import CONFIG, FORM, RUN_PARAMETERS, WHY, Run, dump, form_checks, restore
from pipeline.connection import Api, named_server
from pipeline.runs.state import PLAN, runs_of
from pipeline.stack.queues import NoWorker
from pipeline.workers import ALIVE_SECONDS, UNFINISHED, abandoned, failed_by_loss, mark_lost
from planets.config.project import Config

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "run.py"
SCRIPT = "run_planets_pipeline.py"
"""Name under which an agent runs the entry; no module may share it, for the script's folder comes first."""

TAKE_UP_SECONDS = 24 * 3600
"""Time in which a run that lost its controller is taken up by itself; later, only `resume` continues it."""

TRAININGS = 100
"""Earlier trainings that are searched for settings that are known to work."""


def submit(config: Config, arguments: Mapping[str, str]) -> str:
    """Put a new run on the controllers' queue and return its id."""
    pipe = PipelineController.create(
        project_name=config.clearml.project,
        task_name=config.clearml.pipeline,
        script=str(ENTRY),
        packages=[],
        force_single_script_file=True,
        detect_repository=False,
    )
    store_inputs(pipe.task, ENTRY, SCRIPT, config, arguments, RUN_PARAMETERS)
    checks = form_checks(config, workers_here=named_server(os.environ) is None)
    pipe.task.set_configuration_object(FORM, checks, config_type="json")
    PipelineController.enqueue(pipe, queue_name=config.queues.controller)
    return str(pipe.id)


def store_inputs(
    task: Task,
    script: Path,
    script_name: str,
    config: Config,
    arguments: Mapping[str, str],
    descriptions: Mapping[str, str],
) -> None:
    """Give a task all that an agent needs to execute it or a clone of it: script, settings, parameters.

    The script goes as text and not by its path: the worker may be another machine.
    """
    text = script.read_text(encoding="utf-8")
    task.set_script(repository="", diff=text, entry_point=script_name, working_dir=".")
    task.set_configuration_object(CONFIG, dump(config))
    # One call for all: `set_parameter` reads and writes the whole task for each.
    parameters = [
        {"section": "Args", "name": name, "value": value, "description": descriptions[name]}
        for name, value in arguments.items()
    ]
    task.send(tasks.EditHyperParamsRequest(task=task.id, hyperparams=parameters, force=True))
    task.reload()


def stored_inputs(task: Task, names: Iterable[str]) -> tuple[Config, dict[str, str]]:
    """Return the settings and the parameters `names` of a task as edited; missing parameters are empty."""
    parameters = task.get_parameters()
    config = restore(task.get_configuration_object(CONFIG) or "")
    return config, {name: str(parameters.get(f"Args/{name}") or "") for name in names}


def enqueue_again(api: Api, run: TaskRecord, queue: str) -> None:
    """Put a run that ended or was abandoned back on the controllers' queue; completed steps stay cached.

    The stored DAG is dropped at once: until the controller has planned the new attempt, the old steps would
    be taken for its own. ClearML's server lets nobody edit a task that has ended, so it is enqueued first.

    Raises:
        NoWorker: the server does not have the queue.
    """
    body = {"name": exactly(queue), "only_fields": ["id"], "search_hidden": True}
    queues = api.call("queues.get_all", **body)["queues"]
    if not queues:
        raise NoWorker(f"the server at {api.host} has no queue {queue!r}; start a worker that serves it")
    if run.status in UNFINISHED:
        mark_lost(api, run, "no live worker executes it")
    # By force, for a controller that completed although a step failed.
    api.call("tasks.enqueue", task=run.id, queue=queues[0]["id"], force=True)
    api.call("tasks.delete_configuration", task=run.id, configuration=[PLAN, WHY], force=True)


def take_up_runs(api: Api, config: Config, workers: Collection[str]) -> list[str]:
    """Enqueue the runs again whose controller lost its worker; return their ids.

    Args:
        api: the server.
        config: names the pipeline and the controllers' queue.
        workers: live workers. A run that one of them executed and no longer does is lost at once; other runs
            after some silence, for a worker that is just starting them reports within it.
    """
    now = datetime.now(UTC)

    def silent(run: TaskRecord, seconds: float) -> bool:
        return run.updated is None or (now - run.updated).total_seconds() > seconds

    statuses = [*UNFINISHED, "failed", "stopped"]
    runs = list(runs_of(api, config.clearml.project, config.clearml.pipeline, status=statuses))
    suspects = [run for run in runs if run.worker in workers or silent(run, ALIVE_SECONDS)]
    ended = [run for run in runs if failed_by_loss(run) and not silent(run, TAKE_UP_SECONDS)]
    lost = [*abandoned(api, suspects), *ended]
    for run in lost:
        enqueue_again(api, run, config.queues.controller)
    return [run.id for run in lost]


def require_dataset(api: Api, dataset_id: str) -> None:
    """Refuse a dataset that is missing or a draft; accept an empty id. Raises TaskUnavailable."""
    if not dataset_id:
        return
    dataset = fetch(api, [dataset_id]).get(dataset_id)
    if dataset is None or "dataset" not in dataset.system_tags:
        raise TaskUnavailable(f"dataset_id: the server at {api.host} has no dataset {dataset_id}")
    if not dataset.done:
        raise TaskUnavailable(f"dataset_id: {dataset_id} is no finished version; it is {dataset.status}")


def require_trainable(api: Api, run: Run) -> None:
    """Refuse models that cannot be trained as they are set, before anything is trained.

    Checked are the names of architectures and optimizers, and the sizes of the images. Importing timm and
    building the networks takes seconds, so what an entry has completed a training with is not checked again.

    Raises:
        ConfigError: timm does not know a name (the message suggests similar ones), or a network does not
            accept images of the sizes that its training shows it.
    """
    names = "|".join(re.escape(entry.name) for entry in run.models)
    trained = find(
        api, "hyperparams.kwargs", name=f"^train_({names})$", status=list(DONE), order_by=["-created"],
        limit=TRAININGS,
    )  # fmt: skip
    known = [task.settings for task in trained]
    shapes = [_shape(settings) for settings in known]
    optimizers = {settings.get("optimizer") for settings in known}
    chosen = [(entry, run.training[entry.name]) for entry in run.models]
    # One check per shape: trainings of one entry mostly differ in what does not matter here.
    unknown = {
        shape: (entry, training)
        for entry, training in chosen
        if (shape := _shape({"architecture": entry.timm_name, **training.model_dump()})) not in shapes
    }
    new_optimizers = {training.optimizer for _, training in chosen} - optimizers
    if not unknown and not new_optimizers:
        return
    from planets.training import model
    from planets.training.optim import require_optimizer

    for name in sorted(new_optimizers):
        require_optimizer(name)
    for entry, training in unknown.values():
        model.require_trainable(entry, training, len(run.config.dataset.labels.labels))


def _shape(settings: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what decides whether a network can be trained: the sizes of its images, and rates or none."""

    def number(name: str) -> float:
        return float(settings.get(name) or 0)

    progressive = number("progressive")
    return (
        *(settings.get("architecture"), number("image_size"), number("crop"), progressive),
        *(progressive and number("epochs"), number("drop_rate") > 0, number("drop_path") > 0),
        number("batch_size") == 1,
    )
