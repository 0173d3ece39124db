"""Retraining: ClearML's trigger scheduler as a service that starts a run on each new dataset version."""

from collections.abc import Mapping
from pathlib import Path

from clearml import Task
from clearml.automation import TriggerScheduler

from pipeline.clearml_tasks import exactly
from pipeline.config.parameters import RUN_PARAMETERS
from pipeline.connection import Api
from pipeline.dag.launch import store_inputs, stored_inputs, submit
from pipeline.tasks.in_process import new_task
from planets.config.project import Config
from steps.clearml.datasets import MADE_BY_RUN

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "retrain.py"
SCRIPT = "watch_planets_datasets.py"
"""Name under which an agent runs the entry; no module may share it, for the script's folder comes first."""

MINUTES = "minutes"
"""Parameter of the service: time between two looks for a new version."""


def new_service(config: Config, arguments: Mapping[str, str], minutes: float) -> Task:
    """Create the service's task in this process, with all that an agent needs to take it over."""
    task = new_task(config, "retrain", Task.TaskTypes.service, monitored=False)
    store_inputs(task, ENTRY, SCRIPT, config, arguments, RUN_PARAMETERS)
    task.set_parameter(f"Args/{MINUTES}", minutes, "between two looks for a new version")
    return task


def scheduler_of(task: Task) -> TriggerScheduler:
    """Return the scheduler with the settings of the service's `task`; it remembers the versions it has seen.

    Versions that a run registered carry a tag and are left out: that run has trained on them.
    """
    config, arguments = stored_inputs(task, RUN_PARAMETERS)

    def start_run(dataset_id: str) -> None:
        start_on(config, arguments, dataset_id)

    minutes = float(task.get_parameter(f"Args/{MINUTES}"))
    scheduler = TriggerScheduler(pooling_frequency_minutes=minutes)
    scheduler.add_dataset_trigger(
        name="new version of the dataset",
        schedule_function=start_run,
        trigger_name=exactly(config.clearml.dataset),
        trigger_required_tags=[f"-{MADE_BY_RUN}"],
    )
    return scheduler


def start_on(config: Config, arguments: Mapping[str, str], dataset_id: str) -> str | None:
    """Start a run on the version `dataset_id` and return its id, or None for a dataset of another project."""
    api = Api(wait=True)
    dataset = api.call("tasks.get_by_id", task=dataset_id)["task"]
    project = api.call("projects.get_by_id", project=dataset["project"])["project"]["name"]
    if project != f"{config.clearml.project}/.datasets/{config.clearml.dataset}":
        print(f"dataset {dataset_id} is one of {project}: no run")
        return None
    run_id = submit(config, {**arguments, "dataset_id": dataset_id})
    print(f"new version {dataset_id} of {config.clearml.dataset}: run {run_id} is enqueued")
    return run_id


def main() -> None:
    """Serve as the task that an agent runs; never returns."""
    scheduler_of(Task.init()).start()
