"""Starts a run on each new version of the dataset: ClearML's trigger scheduler, as a service."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from clearml import Task
from clearml.automation import TriggerScheduler

from pipeline.api import Api
from pipeline.config.parameters import CONFIG, DESCRIPTIONS, dump
from pipeline.controller import ONLY_WHAT_STEPS_REPORT
from pipeline.dag.launch import store_script, submit
from planets.config.project import Config
from steps.clearml.registered import MADE_BY_RUN

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "retrain.py"
SCRIPT = "watch_planets_datasets.py"
"""The name under which an agent runs the entry; no module may have it, for its folder comes first."""

NAME = "retrain"
MINUTES = "minutes"
"""Parameter of the service: the time between two looks."""


def new_service(config: Config, arguments: Mapping[str, str], minutes: float) -> Task:
    """This process as a ClearML task that holds all that the service needs, so that an agent can go on."""
    task = Task.init(
        project_name=config.clearml.project,
        task_name=NAME,
        task_type=Task.TaskTypes.service,
        reuse_last_task_id=False,
        auto_connect_arg_parser=False,
        auto_connect_frameworks=ONLY_WHAT_STEPS_REPORT,
        auto_resource_monitoring=False,
    )
    store_script(task, ENTRY, SCRIPT)
    task.set_configuration_object(CONFIG, dump(config))
    for name, value in arguments.items():
        task.set_parameter(f"Args/{name}", value, DESCRIPTIONS[name])
    task.set_parameter(f"Args/{MINUTES}", minutes, "between two looks for a new version")
    return task


def scheduler_of(task: Task) -> TriggerScheduler:
    """The scheduler that the current task holds the settings of; it remembers which versions it has seen.

    Versions that a run registered carry a tag and are left out: that run has trained on them.
    """
    config = Config.model_validate(yaml.safe_load(task.get_configuration_object(CONFIG) or ""))
    held = task.get_parameters()
    arguments = {name: str(held.get(f"Args/{name}") or "") for name in DESCRIPTIONS}

    def start_run(dataset_id: str) -> None:
        start_on(config, arguments, dataset_id)

    scheduler = TriggerScheduler(pooling_frequency_minutes=float(held[f"Args/{MINUTES}"]))
    scheduler.add_dataset_trigger(
        name="new version of the dataset",
        schedule_function=start_run,
        trigger_name=f"^{config.clearml.dataset}$",
        trigger_required_tags=[f"-{MADE_BY_RUN}"],
    )
    return scheduler


def start_on(config: Config, arguments: Mapping[str, str], dataset_id: str) -> str | None:
    """Start a run on the version `dataset_id`, unless it is another project's dataset; return the run."""
    api = Api()
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
