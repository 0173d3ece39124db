"""Stopping a run: its steps, its controller, and the processes of both."""

import time

from pipeline.clearml_tasks import fetch, find
from pipeline.connection import Api
from pipeline.runs.state import LOOK_SECONDS, RunState, read_run
from pipeline.workers import executing_tasks

WAIT_SECONDS = 30
"""Time for the agents to end the processes of stopped tasks."""


def stop_run(api: Api, run_id: str, reason: str = "stopped from the terminal") -> RunState:
    """Dequeue and stop the run's tasks, and wait until no worker executes one.

    The controller may start another step before its process ends, so this repeats until nothing is left.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        ids = [run_id, *_steps(api, run_id)]
        stopped = _stop(api, ids, reason)
        if time.monotonic() > deadline or not (stopped or set(ids) & executing_tasks(api)):
            return read_run(api, run_id)
        time.sleep(LOOK_SECONDS)


def stop_steps(api: Api, run_id: str, reason: str) -> list[str]:
    """Stop the steps of a run that have not ended, not waiting for their processes; return their names."""
    return _stop(api, _steps(api, run_id), reason)


def _steps(api: Api, run_id: str) -> list[str]:
    """Return the ids of the run's own steps. A clone of the run has it as its parent too, but is a run."""
    return [task.id for task in find(api, parent=run_id) if task.type != "controller"]


def _stop(api: Api, ids: list[str], reason: str) -> list[str]:
    """Stop those of the tasks that have not ended; return their names."""
    unfinished = [task for task in fetch(api, ids).values() if not task.ended]
    for task in unfinished:
        if task.status == "queued":
            api.call("tasks.dequeue", task=task.id, status_message=reason)
        api.call("tasks.stopped", task=task.id, force=True, status_reason=reason, status_message=reason)
    return [task.name for task in unfinished]
