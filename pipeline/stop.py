"""Stops a run: its steps and its controller, so that no process of it stays."""

import time

from pipeline.api import Api
from pipeline.runs import ENDED, RunState, read_run

WAIT_SECONDS = 30
"""How long the agents may take to end the processes of stopped tasks."""


def stop_run(api: Api, run_id: str, reason: str = "stopped from the terminal") -> RunState:
    """Take the run's queued steps off their queues, stop what runs, and wait until no worker is at it.

    Until its process has ended, the controller may start another step: so this looks again and again.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        steps = api.call("tasks.get_all", parent=run_id, only_fields=["id"], search_hidden=True)["tasks"]
        ours = [run_id, *(task["id"] for task in steps)]
        stopped = _stop(api, ours, reason)
        if time.monotonic() > deadline or not (stopped or set(ours) & _at_work(api)):
            return read_run(api, run_id)
        time.sleep(0.5)


def _stop(api: Api, ids: list[str], reason: str) -> int:
    """Stop those of the tasks that have not ended; return how many they were."""
    found = api.call("tasks.get_all", id=ids, only_fields=["id", "status"], search_hidden=True)["tasks"]
    going_on = [task for task in found if task["status"] not in ENDED]
    for task in going_on:
        if task["status"] == "queued":
            api.call("tasks.dequeue", task=task["id"], status_message=reason)
        api.call("tasks.stopped", task=task["id"], force=True, status_reason=reason, status_message=reason)
    return len(going_on)


def _at_work(api: Api) -> set[str]:
    """The tasks that workers are executing."""
    workers = api.call("workers.get_all", last_seen=60)["workers"]
    return {worker["task"]["id"] for worker in workers if worker.get("task")}
