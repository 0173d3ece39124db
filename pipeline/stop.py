"""Stops a run: its steps and its controller, so that no process of it stays."""

import time

from pipeline.api import Api
from pipeline.runs import ENDED, RunState, read_run

WAIT_SECONDS = 30
"""How long the agents may take to end the processes of stopped tasks."""


def stop_run(api: Api, run_id: str, reason: str = "stopped from the terminal") -> RunState:
    """Take the run's queued steps off their queues, stop what runs, and wait until no worker is at it."""
    open_states = ["created", "queued", "in_progress"]
    _stop(api, [run_id], reason)
    steps = api.call(
        "tasks.get_all", parent=run_id, status=open_states, only_fields=["id"], search_hidden=True
    )
    _stop(api, [task["id"] for task in steps["tasks"]], reason)
    ours = {run_id, *(task["id"] for task in steps["tasks"])}
    deadline = time.monotonic() + WAIT_SECONDS
    while ours & _at_work(api) and time.monotonic() < deadline:
        time.sleep(0.5)
    return read_run(api, run_id)


def _stop(api: Api, ids: list[str], reason: str) -> None:
    for task in (
        api.call("tasks.get_all", id=ids, only_fields=["id", "status"], search_hidden=True)["tasks"]
        if ids
        else []
    ):
        if task["status"] == "queued":
            api.call("tasks.dequeue", task=task["id"], status_message=reason)
        if task["status"] not in ENDED:
            api.call(
                "tasks.stopped", task=task["id"], force=True, status_reason=reason, status_message=reason
            )


def _at_work(api: Api) -> set[str]:
    """The tasks that workers are executing."""
    workers = api.call("workers.get_all", last_seen=60)["workers"]
    return {worker["task"]["id"] for worker in workers if worker.get("task")}
