"""Starts a run: makes the controller's task with its settings and parameters, and puts it on its queue."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from clearml import PipelineController

from pipeline.api import Api
from pipeline.errors import NoWorker, Unfinished
from pipeline.parameters import CONFIG, DESCRIPTIONS, WHY, dump
from pipeline.runs import LOOK_SECONDS
from planets.config import Config

ENTRY = Path(__file__).with_name("entry.py")
SCRIPT = "run_planets_pipeline.py"
"""The name under which an agent runs the entry; no module may have it, for its folder comes first."""

ALIVE_SECONDS = 120
"""A worker that the server has not heard of for longer is taken for gone; agents report every half minute."""


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
    # The text of the script, not its path: the controller's worker may be another machine.
    task.set_script(
        repository="", diff=ENTRY.read_text(encoding="utf-8"), entry_point=SCRIPT, working_dir="."
    )
    task.set_configuration_object(CONFIG, dump(config))
    for name, value in arguments.items():
        task.set_parameter(f"Args/{name}", value, DESCRIPTIONS[name])
    PipelineController.enqueue(pipe, queue_name=config.queues.controller)
    return str(pipe.id)


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
    """Refuse a dataset that the server has not, or that is a draft. Raises Unfinished; no id is no fault."""
    if not dataset_id:
        return
    fields = ["id", "status", "system_tags"]
    found = api.call("tasks.get_all", id=[dataset_id], only_fields=fields, search_hidden=True)["tasks"]
    if not found or "dataset" not in found[0].get("system_tags", []):
        raise Unfinished(f"dataset_id: the server at {api.host} has no dataset {dataset_id}")
    if found[0]["status"] not in ("completed", "published"):
        raise Unfinished(f"dataset_id: {dataset_id} is no finished version; it is {found[0]['status']}")


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
            f"`clearml-agent daemon --queue {empty[0]}` in an environment that has this project, "
            "or name another queue under `queues:` in configs/project.yaml"
        )
