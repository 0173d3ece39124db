"""Queues and the live workers that serve them, as the server knows both."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from pipeline.clearml_tasks import fetch
from pipeline.connection import Api
from pipeline.errors import PipelineError
from pipeline.workers import ALIVE_SECONDS, POLL_SECONDS, UNFINISHED, live_workers, mark_lost
from planets.commands import command
from planets.config.project import Config


class NoWorker(PipelineError):
    """A queue that the run needs has no live worker, so the run would wait for ever."""


def create_queues(api: Api, names: Sequence[str]) -> None:
    """Create the queues that are missing: two agents that both create one get in each other's way."""
    queues = api.call("queues.get_all", only_fields=["name"], search_hidden=True)["queues"]
    existing = {queue["name"] for queue in queues}
    for name in names:
        if name not in existing:
            api.call("queues.create", name=name)


def held_tasks(api: Api, workers: Collection[str]) -> dict[str, str]:
    """Return the tasks that these workers are executing, each with its worker."""
    busy = [worker for worker in live_workers(api) if worker["id"] in workers and worker.get("task")]
    return {worker["task"]["id"]: worker["id"] for worker in busy}


def sign_off(api: Api, workers: Collection[str], held: Mapping[str, str]) -> list[str]:
    """Tell the server that workers are gone; return the `held` tasks that they left unfinished.

    These are marked as lost, and their controller puts them back on their queue at once. Left alone, they
    would wait until the server misses the worker: two hours on ClearML's own server.
    """
    for worker in workers:
        api.call("workers.unregister", worker=worker)
    tasks = fetch(api, held).values()
    lost = [task for task in tasks if task.status in UNFINISHED]
    for task in lost:
        mark_lost(api, replace(task, worker=held[task.id]), "it was ended")
    return [task.id for task in lost]


def release(api: Api, workers: Collection[str]) -> list[str]:
    """Mark the tasks of workers that are not running as lost, and return them."""
    held = held_tasks(api, workers)
    return sign_off(api, set(held.values()), held)


def workers_of(api: Api, queues: Sequence[str]) -> dict[str, list[str]]:
    """Return for each queue the ids of the live workers that serve it."""
    serving: dict[str, list[str]] = {queue: [] for queue in queues}
    for worker in live_workers(api):
        for queue in worker.get("queues") or []:
            if queue["name"] in serving:
                serving[queue["name"]].append(worker["id"])
    return serving


def await_workers(
    api: Api, names: Collection[str], still_starting: Callable[[], bool], since: float = 0.0
) -> None:
    """Wait until the workers `names` have reported to the server, or `still_starting` returns False.

    Args:
        api: the server.
        names: ids of the workers.
        still_starting: called before each look.
        since: time (seconds since the epoch) of the server's start; what it knows from before does not count.
    """
    while still_starting():
        last_seen = min(ALIVE_SECONDS, max(1, int(time.time() - since)))
        if {worker["id"] for worker in live_workers(api, last_seen)} >= set(names):
            return
        time.sleep(POLL_SECONDS)


def require_workers(api: Api, config: Config) -> None:
    """Refuse a run that would wait for ever. Raises NoWorker naming each queue without a worker."""
    empty = [queue for queue, workers in workers_of(api, config.queues.names()).items() if not workers]
    if empty:
        raise NoWorker(
            f"no live worker serves the queue {', '.join(empty)} at {api.host}: start one with "
            f"`{command('worker', empty[0])}` on a machine that has this project, "
            "or name another queue under `queues:` in configs/project.yaml"
        )
