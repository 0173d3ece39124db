"""Steps without agents: their functions run one after the other in this process, within one ClearML task."""

import os
import re
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Any

from clearml import Task

from pipeline.connection import Api
from pipeline.controller import Step
from pipeline.errors import INTERRUPTED, Interrupted
from planets.config.project import Config
from steps.clearml.task import FRAMEWORKS_OFF

RETURN = "return/"
"""Prefix of the parameters that hold what steps returned; a clone brings those of its source along."""


def new_task(config: Config, name: str, task_type: Task.TaskTypes, monitored: bool = True) -> Task:
    """Create a task of this process; `monitored` if ClearML should report the machine's load with it."""
    return Task.init(
        project_name=config.clearml.project,
        task_name=name,
        task_type=task_type,
        reuse_last_task_id=False,
        auto_connect_arg_parser=False,
        auto_connect_frameworks=FRAMEWORKS_OFF,
        auto_resource_monitoring=monitored,
    )


@contextmanager
def own_task(
    api: Api, config: Config, name: str, task_type: Task.TaskTypes, monitored: bool = True
) -> Iterator[Task]:
    """Create a task as `new_task` does, and end it with the context: completed, failed or stopped.

    Raises:
        Interrupted: by Ctrl-C, once the task is marked stopped.
    """
    early = Event()
    signal.signal(signal.SIGINT, lambda _number, _frame: early.set())
    task = new_task(config, name, task_type, monitored)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        if early.is_set():
            raise Interrupted
        yield task
    except BaseException as error:
        # A second Ctrl-C must not leave the task unmarked; it ends the wait for a server that is gone.
        with api.interrupts(signal.SIGINT):
            if isinstance(error, Interrupted):
                exit_if_unreachable(api, task)
            _end_badly(api, task, error)
        raise
    else:
        task.close()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


def exit_if_unreachable(api: Api, task: Task) -> None:
    """End this process at once if the server is gone: the SDK's exit handlers would wait minutes for it."""
    if api.answers():
        return
    print(f"the server does not answer, so task {task.id} is not marked as stopped", flush=True)
    os._exit(INTERRUPTED)


def _end_badly(api: Api, task: Task, error: BaseException) -> None:
    call, message = "tasks.stopped", "Ctrl-C in the terminal"
    if not isinstance(error, Interrupted):
        call, message = "tasks.failed", str(error)
        task.get_logger().report_text(traceback.format_exc(), print_console=False)
    # The SDK marks a task as completed when it closes it, whatever its status was.
    task.close()
    reason = {"status_reason": type(error).__name__, "status_message": message}
    api.call(call, task=task.id, force=True, **reason)


Results = Mapping[str, Mapping[str, Any]]
"""Returned values by step and name."""


def run_steps(task: Task, steps: Sequence[Step], earlier: Results | None = None) -> dict[str, dict[str, Any]]:
    """Run the functions of `steps` in order within `task`; return their results and the `earlier` ones.

    The values are kept with the task as the parameters `return/<name>`, as an agent would.
    """
    results = {step: dict(values) for step, values in (earlier or {}).items()}
    for step in steps:
        print(f"== {step.name}", flush=True)
        arguments = {name: _resolved(value, results, task.id) for name, value in step.arguments.items()}
        returned = step.function(**arguments)
        values = returned if isinstance(returned, tuple) else (returned,)
        results[step.name] = dict(zip(step.returns, values, strict=True))
        task.update_parameters({f"{RETURN}{name}": value for name, value in results[step.name].items()})
    return results


def _resolved(value: Any, results: Results, task_id: str) -> Any:
    """Return the value of a reference; every step is the task `task_id`."""
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"\$\{([\w-]+)\.parameters\.return/(\w+)\}", value):
        return results[match[1]][match[2]]
    return re.sub(r"\$\{[\w-]+\.id\}", task_id, value)
