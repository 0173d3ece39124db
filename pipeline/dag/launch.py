"""Starts a run: makes the controller's task with its settings and parameters, and puts it on its queue."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from clearml import PipelineController, Task

from pipeline.api import Api
from pipeline.clearml_tasks import TaskUnavailable
from pipeline.config.parameters import CONFIG, DESCRIPTIONS, WHY, dump
from pipeline.errors import PipelineError
from pipeline.runs.state import LOOK_SECONDS
from planets.config.project import Config

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "run.py"
SCRIPT = "run_planets_pipeline.py"
"""The name under which an agent runs the entry; no module may have it, for its folder comes first."""

WORKER_LOST = "worker lost"
"""How the reason of a failure begins that is not the step's own; the embedded watchdog says the same."""

ALIVE_SECONDS = 120
"""A worker that the server has not heard of for longer is taken for gone; agents report every half minute."""


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
    task = pipe.task
    store_script(task, ENTRY, SCRIPT)
    task.set_configuration_object(CONFIG, dump(config))
    for name, value in arguments.items():
        task.set_parameter(f"Args/{name}", value, DESCRIPTIONS[name])
    PipelineController.enqueue(pipe, queue_name=config.queues.controller)
    return str(pipe.id)


def store_script(task: Task, file: Path, name: str) -> None:
    """Give a task the text of a script, not its path: its worker may be another machine."""
    task.set_script(repository="", diff=file.read_text(encoding="utf-8"), entry_point=name, working_dir=".")


def enqueue_again(api: Api, run_id: str, queue: str) -> None:
    """Put a run that ended back on the controllers' queue: what completed comes from the cache.

    Its steps as they were are forgotten at once: until the controller has planned them anew, they would be
    taken for those of this attempt.
    """
    queues = api.call("queues.get_all", name=f"^{queue}$", only_fields=["id"])["queues"]
    if not queues:
        raise NoWorker(f"the server at {api.host} has no queue {queue!r}; start a worker that serves it")
    api.call("tasks.delete_configuration", task=run_id, configuration=["Pipeline", WHY], force=True)
    api.call("tasks.enqueue", task=run_id, queue=queues[0]["id"])


def require_dataset(api: Api, dataset_id: str) -> None:
    """Require a finished version of a dataset. Raises TaskUnavailable; an empty id is accepted."""
    if not dataset_id:
        return
    fields = ["id", "status", "system_tags"]
    found = api.call("tasks.get_all", id=[dataset_id], only_fields=fields, search_hidden=True)["tasks"]
    if not found or "dataset" not in found[0].get("system_tags", []):
        raise TaskUnavailable(f"dataset_id: the server at {api.host} has no dataset {dataset_id}")
    if found[0]["status"] not in ("completed", "published"):
        raise TaskUnavailable(f"dataset_id: {dataset_id} is no finished version; it is {found[0]['status']}")


def create_queues(api: Api, names: Sequence[str]) -> None:
    """Make the queues that are missing: two agents that both make one get in each other's way."""
    there = {queue["name"] for queue in api.call("queues.get_all", only_fields=["name"])["queues"]}
    for name in names:
        if name not in there:
            api.call("queues.create", name=name)


def held_tasks(api: Api, workers: Collection[str]) -> dict[str, str]:
    """The tasks that these workers are executing, each with its worker."""
    known = api.call("workers.get_all", last_seen=ALIVE_SECONDS)["workers"]
    return {each["task"]["id"]: each["id"] for each in known if each["id"] in workers and each.get("task")}


def sign_off(api: Api, workers: Collection[str], held: Mapping[str, str]) -> list[str]:
    """Tell the server that workers are gone; return the `held` tasks that they left unfinished.

    These are marked as lost, and their controller puts them back on their queue at once. Left alone, they
    would wait until the server misses the worker: two hours on ClearML's own server.
    """
    for worker in workers:
        api.call("workers.unregister", worker=worker)
    if not held:
        return []
    ids, fields = list(held), ["id", "status"]
    found = api.call("tasks.get_all", id=ids, only_fields=fields, search_hidden=True)["tasks"]
    lost = [task["id"] for task in found if task["status"] in ("in_progress", "queued")]
    for task in lost:
        reason = f"{WORKER_LOST}: {held[task]}, it was ended"
        api.call("tasks.failed", task=task, force=True, status_reason=reason, status_message=reason)
    return lost


def workers_of(api: Api, queues: Sequence[str]) -> dict[str, list[str]]:
    """For each queue, the ids of the live workers that serve it."""
    serving: dict[str, list[str]] = {queue: [] for queue in queues}
    for worker in api.call("workers.get_all", last_seen=ALIVE_SECONDS)["workers"]:
        for queue in worker.get("queues") or []:
            if queue["name"] in serving:
                serving[queue["name"]].append(worker["id"])
    return serving


def await_workers(api: Api, names: Collection[str], still_starting: Callable[[], bool]) -> None:
    """Wait until the server knows the workers `names`, or `still_starting` says that none will come."""
    while still_starting():
        known = {worker["id"] for worker in api.call("workers.get_all", last_seen=ALIVE_SECONDS)["workers"]}
        if known >= set(names):
            return
        time.sleep(LOOK_SECONDS)


def require_workers(api: Api, config: Config) -> None:
    """Refuse a run that would wait for ever. Raises NoWorker naming each queue that nobody serves."""
    empty = [queue for queue, workers in workers_of(api, config.queues.names()).items() if not workers]
    if empty:
        raise NoWorker(
            f"no live worker serves the queue {', '.join(empty)} at {api.host}: start one with "
            f"`make worker QUEUE={empty[0]}` on a machine that has this project, "
            "or name another queue under `queues:` in configs/project.yaml"
        )
