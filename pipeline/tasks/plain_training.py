"""Plain training: one model in one ClearML task, without a pipeline.

The steps' functions run in this process with the arguments that the controller would give them; all that they
report and store belongs to the one task. Any agent runs a clone of it with other parameters.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clearml import Task

from pipeline.config.parameters import PLAIN_PARAMETERS, Run
from pipeline.connection import Api
from pipeline.controller import steps_of
from pipeline.dag.launch import require_dataset, store_inputs, stored_inputs
from pipeline.tasks.in_process import RETURN, own_task, run_steps
from planets.config.project import Config
from planets.config.training import TrainingSettings
from steps.clearml.task import FRAMEWORKS_OFF, SPLIT_OF, content_tag

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "plain_training.py"
SCRIPT = "train_one_planets_model.py"
"""Name under which an agent runs the entry; no module may share it, for the script's folder comes first."""

SHOWN = ("epochs", "image_size", "batch_size", "learning_rate", "seed")
"""Settings that the task has as user properties, beside its architecture, so that tables can show them."""


def main() -> None:
    """Train as an agent's task: a plain training that was cloned, or is tried again."""
    task = Task.init(auto_connect_arg_parser=False, auto_connect_frameworks=FRAMEWORKS_OFF)
    # A trial of a sweep has whichever training settings the sweep varies.
    names = dict.fromkeys((*PLAIN_PARAMETERS, *TrainingSettings.model_fields))
    run = Run.parse_plain(*stored_inputs(task, names))
    require_dataset(Api(), run.dataset_id)
    _forget_results(task)
    train_and_evaluate(task, run)


def _forget_results(task: Task) -> None:
    """Drop what the task returned before it was cloned, or before it was put on a queue again."""
    kinds = (content_tag(""), f"{SPLIT_OF}:")
    task.set_tags([tag for tag in task.get_tags() if not tag.startswith(kinds)])
    for name in task.get_parameters():
        if name.startswith(RETURN):
            task.delete_parameter(name, force=True)


@contextmanager
def training_task(api: Api, config: Config, arguments: Mapping[str, str]) -> Iterator[Task]:
    """Hold the task of a plain training in this process, with all that a clone needs.

    Raises:
        Interrupted: by Ctrl-C, once the task is marked stopped.
    """
    (entry,) = Run.parse_plain(config, arguments).models
    with own_task(api, config, f"train {entry.name}", Task.TaskTypes.training) as task:
        task.output_uri = task.output_uri or True
        task.set_packages([])
        store_inputs(task, ENTRY, SCRIPT, config, arguments, PLAIN_PARAMETERS)
        yield task


def train_and_evaluate(task: Task, run: Run) -> dict[str, Any]:
    """Run all steps of a run of one model but `select` within `task`; return what the evaluation returned."""
    (entry,) = run.models
    training = run.training[entry.name]
    shown = {name: getattr(training, name) for name in SHOWN}
    task.set_user_properties(architecture=entry.architecture, **shown)
    *steps, _select = steps_of(run, task.id)
    return run_steps(task, steps)[steps[-1].name]
