"""Runs a function of a test module in a process of its own, as a ClearML program on an embedded server.

The SDK's session is global to a process, and so are a process's task, its streams and its exit handlers.
"""

import faulthandler
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearml import Task
    from support.embedded import Embedded

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "stages"
PATIENCE = 600
"""Seconds after which a process shows where its threads are, and ends."""


def call(server: "Embedded", folder: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function(*arguments)` in a new process in `folder` and return its result; both travel as JSON."""
    result = folder / f"{function.__name__}.json"
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    words = [function.__code__.co_filename, function.__name__, json.dumps(arguments), str(result)]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        cwd=folder,
        env=server.environment(folder / "home") | paths,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return json.loads(result.read_text())


@contextmanager
def running_task(name: str, project: str = PROJECT, **runtime: str) -> Iterator["Task"]:
    """Make a task the current one of this process, as agents do; it completes or fails with the block."""
    from clearml import Task

    task = Task.init(
        project,
        name,
        reuse_last_task_id=False,
        auto_connect_frameworks=False,
        auto_connect_arg_parser=False,
        auto_connect_streams=False,
        auto_resource_monitoring=False,
    )
    task._set_runtime_properties(runtime)
    try:
        yield task
    except BaseException:
        task.close()
        fail(task)
        raise
    task.close()


def fail(task: "Task") -> None:
    """Let a task that has ended be a failed one."""
    task.mark_failed(force=True)


def error_of(function: Callable[..., Any], *arguments: Any, **named: Any) -> list[str]:
    """Return type and message of the error of steps that the call must raise."""
    from steps.clearml.errors import StepError

    try:
        function(*arguments, **named)
    except StepError as error:
        return [type(error).__name__, str(error)]
    raise AssertionError(f"{function.__name__} raised no StepError")


def run_stage(stage: Callable[..., Any], **arguments: Any) -> Any:
    """Run a stage of `steps` as a task of its own, with the code version of this checkout."""
    from steps.clearml.code_version import code_of

    version = code_of(stage.__module__.removeprefix("steps.")).version
    with running_task(stage.__name__):
        return stage(**arguments, code_version=version)


def _main() -> None:
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    file, name, arguments, result = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("scenario", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    value = getattr(module, name)(*json.loads(arguments))
    Path(result).write_text(json.dumps(value))


if __name__ == "__main__":
    _main()
