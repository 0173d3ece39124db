"""Stops a run: its steps and its controller, so that no process of it stays."""

import time

from pipeline.api import Api
from pipeline.runs.state import ENDED, RunState, read_run

WAIT_SECONDS = 30
"""How long the agents may take to end the processes of stopped tasks."""


def stop_run(api: Api, run_id: str, reason: str = "stopped from the terminal") -> RunState:
    """Take the run's queued steps off their queues, stop what runs, and wait until no worker is at it.

    Until its process has ended, the controller may start another step: so this looks again and again.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        ours = [run_id, *_steps(api, run_id)]
        stopped = _stop(api, ours, reason)
        if time.monotonic() > deadline or not (stopped or set(ours) & at_work(api)):
            return read_run(api, run_id)
        time.sleep(0.5)


def stop_steps(api: Api, run_id: str, reason: str) -> list[str]:
    """Stop the steps of a run that still go on, without waiting for their end; return their names."""
    return _stop(api, _steps(api, run_id), reason)


def _steps(api: Api, run_id: str) -> list[str]:
    """The ids of the run's own steps; a clone of the run has it as its parent too, and is none."""
    fields = ["id", "type"]
    found = api.call("tasks.get_all", parent=run_id, only_fields=fields, search_hidden=True)["tasks"]
    return [task["id"] for task in found if task["type"] != "controller"]


def at_work(api: Api) -> set[str]:
    """The tasks that workers are executing."""
    workers = api.call("workers.get_all", last_seen=60)["workers"]
    return {worker["task"]["id"] for worker in workers if worker.get("task")}


def _stop(api: Api, ids: list[str], reason: str) -> list[str]:
    """Stop those of the tasks that have not ended; return their names."""
    if not ids:
        return []
    fields = ["id", "name", "status"]
    found = api.call("tasks.get_all", id=ids, only_fields=fields, search_hidden=True)["tasks"]
    going_on = [task for task in found if task["status"] not in ENDED]
    for task in going_on:
        if task["status"] == "queued":
            api.call("tasks.dequeue", task=task["id"], status_message=reason)
        api.call("tasks.stopped", task=task["id"], force=True, status_reason=reason, status_message=reason)
    return [task["name"] for task in going_on]
