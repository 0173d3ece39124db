"""Plain training: one model in one ClearML task, without a pipeline.

The functions of the steps run in this process, in their order, told what the controller would tell them; all
that they report and leave belongs to the one task. A clone of it, with other parameters, runs by any agent.
"""

import re
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

from clearml import Task

from pipeline.api import Api
from pipeline.config.parameters import CONFIG, Run, dump
from pipeline.controller import ONLY_WHAT_STEPS_REPORT, RETURNS
from pipeline.dag.launch import require_dataset, store_script
from pipeline.tasks.single_parameters import DESCRIPTIONS, parse
from planets.config.project import Config
from steps.clearml import task as tracking
from steps.evaluate import evaluate_model
from steps.ingest import ingest_chips
from steps.register import register_dataset
from steps.split import split_chips
from steps.train import train_model

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "plain_training.py"
SCRIPT = "train_one_planets_model.py"
"""The name under which an agent runs the entry; no module may have it, for its folder comes first."""

SHOWN = ("epochs", "image_size", "batch_size", "learning_rate", "seed")
"""The settings that the task has as user properties, with its architecture, so that tables can show them."""

RETURN = "return/"
"""How the parameters begin that hold what steps returned; a clone brings those of its source along."""


class Interrupted(BaseException):
    """Ctrl-C: no KeyboardInterrupt, which Lightning would turn into an exit of its own."""


def main() -> None:
    """Train as an agent's task: a plain training that was cloned, or is tried again."""
    task = Task.init(auto_connect_arg_parser=False, auto_connect_frameworks=ONLY_WHAT_STEPS_REPORT)
    edited = task.get_parameters()
    told = {name: str(edited.get(f"Args/{name}") or "") for name in DESCRIPTIONS}
    run = parse(task.get_configuration_object(CONFIG) or "", told)
    require_dataset(Api(), run.dataset_id)
    _forget_results(task)
    train_and_evaluate(run)


def _forget_results(task: Task) -> None:
    """Drop what the task returned before it was cloned, or before it was put on a queue again."""
    task.set_tags([tag for tag in task.get_tags() if not tag.startswith(tracking.content_tag(""))])
    for name in task.get_parameters():
        if name.startswith(RETURN):
            task.delete_parameter(name, force=True)


@contextmanager
def own_task(api: Api, config: Config, told: Mapping[str, str]) -> Iterator[Task]:
    """The task of a plain training; it ends completed, failed or stopped, never at work with nobody working.

    Raises:
        Interrupted: by Ctrl-C, once the task is marked stopped.
    """
    early = Event()
    signal.signal(signal.SIGINT, lambda _number, _frame: early.set())
    task = _begin(config, told)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        if early.is_set():
            raise Interrupted
        yield task
    except BaseException as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_badly(api, task, error)
        raise
    else:
        task.close()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _begin(config: Config, told: Mapping[str, str]) -> Task:
    """Make the task of a plain training in this process, with all that a clone needs."""
    run = parse(dump(config), told)
    task = Task.init(
        project_name=config.clearml.project,
        task_name=f"train {run.models[0].name}",
        task_type=Task.TaskTypes.training,
        reuse_last_task_id=False,
        auto_connect_arg_parser=False,
        auto_connect_frameworks=ONLY_WHAT_STEPS_REPORT,
    )
    task.output_uri = task.output_uri or True
    store_script(task, ENTRY, SCRIPT)
    task.set_packages([])
    task.set_configuration_object(CONFIG, dump(config))
    for name, value in told.items():
        task.set_parameter(f"Args/{name}", value, DESCRIPTIONS[name])
    return task


def _end_badly(api: Api, task: Task, error: BaseException) -> None:
    call, why = "tasks.stopped", "Ctrl-C in the terminal"
    if not isinstance(error, Interrupted):
        call, why = "tasks.failed", str(error)
        task.get_logger().report_text(traceback.format_exc(), print_console=False)
    # The SDK calls a task completed when it closes it, whatever it was before.
    task.close()
    reason = {"status_reason": type(error).__name__, "status_message": why}
    api.call(call, task=task.id, force=True, **reason)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


def train_and_evaluate(run: Run) -> dict[str, Any]:
    """Do the work of the steps of a run of one model in this process, within the current task.

    Returns what the evaluation returned, by name. All that the steps returned is kept as `return/<name>`.
    """
    (entry,) = run.models
    training = run.config.training_of(entry.name, **run.training)
    shown = {name: getattr(training, name) for name in SHOWN}
    task = tracking.current_task()
    task.set_user_properties(architecture=entry.architecture, **shown)
    do = _Steps(task)
    do("ingest", ingest_chips, run.ingest(task.id))
    do("register", register_dataset, run.register())
    do("split", split_chips, run.split())
    do(f"train_{entry.name}", train_model, run.train(entry))
    return do(f"evaluate_{entry.name}", evaluate_model, run.evaluate(entry))


class _Steps:
    """Runs steps one after the other, and resolves what each one is told of those before it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.results: dict[str, dict[str, Any]] = {}

    def __call__(self, step: str, function: Callable[..., Any], told: Mapping[str, Any]) -> dict[str, Any]:
        """Run a step's function, and keep what it returns with the task, as an agent would."""
        print(f"== {step}", flush=True)
        returned = function(**{name: self._resolved(value) for name, value in told.items()})
        values = returned if isinstance(returned, tuple) else (returned,)
        self.results[step] = dict(zip(RETURNS[function], values, strict=True))
        self.task.update_parameters({f"{RETURN}{name}": each for name, each in self.results[step].items()})
        return self.results[step]

    def _resolved(self, value: Any) -> Any:
        """A reference's value; every step is this one task."""
        if not isinstance(value, str):
            return value
        if found := re.fullmatch(r"\$\{(\w+)\.parameters\.return/(\w+)\}", value):
            return self.results[found[1]][found[2]]
        return re.sub(r"\$\{\w+\.id\}", self.task.id, value)
