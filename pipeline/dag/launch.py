"""Starting a run: what it needs from the server, the controller's task, and its queue."""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearml import PipelineController, Task

from pipeline.api import Api
from pipeline.clearml_tasks import DONE, TaskUnavailable, fetch, find
from pipeline.config.parameters import CONFIG, RUN_PARAMETERS, WHY, Run, dump
from pipeline.errors import PipelineError
from pipeline.runs.state import LOOK_SECONDS
from planets.config.project import Config

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "run.py"
SCRIPT = "run_planets_pipeline.py"
"""Name under which an agent runs the entry; no module may share it, for the script's folder comes first."""

WORKER_LOST = "worker lost"
"""Prefix of the reason of a failure that is not the step's own; the embedded watchdog writes the same."""

ALIVE_SECONDS = 120
"""Silence after which a worker is taken for gone; agents report every half minute."""

TRAININGS = 100
"""Earlier trainings that are searched for names that timm knows."""


class NoWorker(PipelineError):
    """A queue that the run needs has no live worker, so the run would wait for ever."""


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
    for name, value in arguments.items():
        task.set_parameter(f"Args/{name}", value, descriptions[name])


def enqueue_again(api: Api, run_id: str, queue: str) -> None:
    """Put a run that ended back on the controllers' queue: what completed comes from the cache.

    The stored DAG is dropped at once: until the controller has planned the new attempt, the old steps would
    be taken for its own.
    """
    queues = api.call("queues.get_all", name=f"^{re.escape(queue)}$", only_fields=["id"])["queues"]
    if not queues:
        raise NoWorker(f"the server at {api.host} has no queue {queue!r}; start a worker that serves it")
    api.call("tasks.delete_configuration", task=run_id, configuration=["Pipeline", WHY], force=True)
    api.call("tasks.enqueue", task=run_id, queue=queues[0]["id"])


def require_dataset(api: Api, dataset_id: str) -> None:
    """Refuse a dataset that is missing or a draft; accept an empty id. Raises TaskUnavailable."""
    if not dataset_id:
        return
    dataset = fetch(api, [dataset_id]).get(dataset_id)
    if dataset is None or "dataset" not in dataset.system_tags:
        raise TaskUnavailable(f"dataset_id: the server at {api.host} has no dataset {dataset_id}")
    if not dataset.done:
        raise TaskUnavailable(f"dataset_id: {dataset_id} is no finished version; it is {dataset.status}")


def require_names(api: Api, run: Run) -> None:
    """Refuse architectures and optimizers that timm does not know, before anything is trained.

    Importing timm takes seconds, so names that an entry has completed a training with are not checked again.

    Raises:
        ConfigError: timm does not know a name; the message suggests similar ones.
    """
    names = "|".join(re.escape(entry.name) for entry in run.models)
    trained = find(
        api, "hyperparams.kwargs", name=f"^train_({names})$", status=list(DONE), order_by=["-created"],
        limit=TRAININGS,
    )  # fmt: skip
    known = [task.settings for task in trained]
    architectures = {entry.architecture for entry in run.models}
    optimizers = {run.config.training_of(entry.name).optimizer for entry in run.models}
    architectures -= {settings.get("architecture") for settings in known}
    optimizers -= {settings.get("optimizer") for settings in known}
    if not architectures and not optimizers:
        return
    from planets.training.model import require_architecture
    from planets.training.optim import require_optimizer

    for name in sorted(architectures):
        require_architecture(name)
    for name in sorted(optimizers):
        require_optimizer(name)


def create_queues(api: Api, names: Sequence[str]) -> None:
    """Create the queues that are missing: two agents that both create one get in each other's way."""
    existing = {queue["name"] for queue in api.call("queues.get_all", only_fields=["name"])["queues"]}
    for name in names:
        if name not in existing:
            api.call("queues.create", name=name)


def _live_workers(api: Api) -> list[dict[str, Any]]:
    workers: list[dict[str, Any]] = api.call("workers.get_all", last_seen=ALIVE_SECONDS)["workers"]
    return workers


def held_tasks(api: Api, workers: Collection[str]) -> dict[str, str]:
    """Return the tasks that these workers are executing, each with its worker."""
    busy = [worker for worker in _live_workers(api) if worker["id"] in workers and worker.get("task")]
    return {worker["task"]["id"]: worker["id"] for worker in busy}


def sign_off(api: Api, workers: Collection[str], held: Mapping[str, str]) -> list[str]:
    """Tell the server that workers are gone; return the `held` tasks that they left unfinished.

    These are marked as lost, and their controller puts them back on their queue at once. Left alone, they
    would wait until the server misses the worker: two hours on ClearML's own server.
    """
    for worker in workers:
        api.call("workers.unregister", worker=worker)
    tasks = fetch(api, held).values()
    lost = [task.id for task in tasks if task.status in ("in_progress", "queued")]
    for task in lost:
        reason = f"{WORKER_LOST}: {held[task]}, it was ended"
        api.call("tasks.failed", task=task, force=True, status_reason=reason, status_message=reason)
    return lost


def workers_of(api: Api, queues: Sequence[str]) -> dict[str, list[str]]:
    """Return for each queue the ids of the live workers that serve it."""
    serving: dict[str, list[str]] = {queue: [] for queue in queues}
    for worker in _live_workers(api):
        for queue in worker.get("queues") or []:
            if queue["name"] in serving:
                serving[queue["name"]].append(worker["id"])
    return serving


def await_workers(api: Api, names: Collection[str], still_starting: Callable[[], bool]) -> None:
    """Wait until the server knows the workers `names`, or `still_starting` returns False."""
    while still_starting():
        if {worker["id"] for worker in _live_workers(api)} >= set(names):
            return
        time.sleep(LOOK_SECONDS)


def require_workers(api: Api, config: Config) -> None:
    """Refuse a run that would wait for ever. Raises NoWorker naming each queue without a worker."""
    empty = [queue for queue, workers in workers_of(api, config.queues.names()).items() if not workers]
    if empty:
        raise NoWorker(
            f"no live worker serves the queue {', '.join(empty)} at {api.host}: start one with "
            f"`make worker QUEUE={empty[0]}` on a machine that has this project, "
            "or name another queue under `queues:` in configs/project.yaml"
        )
