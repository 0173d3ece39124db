"""Upload: the dataset registered in ClearML from this process, as one task, without a pipeline."""

from typing import NamedTuple

from clearml import Task

from pipeline.config.parameters import Run, run_arguments
from pipeline.connection import Api
from pipeline.controller import steps_of
from pipeline.tasks.in_process import own_task, run_steps
from planets.config.project import Config
from steps.clearml.datasets import Registered, find_registered
from steps.clearml.sources import origin_of, project_source
from steps.clearml.task import DONE, set_refreshed


class Uploaded(NamedTuple):
    """A registered dataset, and for a person what was done to register it."""

    dataset_id: str
    outcome: str


def upload_dataset(api: Api, config: Config, refresh: bool = False) -> Uploaded:
    """Register the dataset of `config`; with `refresh` read its content even if its source is known.

    If the source is known, nothing is fetched, audited or uploaded, and no task is created.

    Raises:
        PlanetsError: the source cannot be reached, or its content cannot be used.
        Interrupted: by Ctrl-C, once the task is marked stopped.
    """
    known = None if refresh else _registered(config)
    if known is not None:
        return Uploaded(known.dataset_id, f"registered before from this source ({known.chips:,} chips)")
    with own_task(api, config, "upload", Task.TaskTypes.data_processing, monitored=False) as task:
        set_refreshed(task, ["ingest"] if refresh else [])
        ingest, register, *_ = steps_of(Run.parse(config, run_arguments(config, models="0")), task.id)
        ingested = run_steps(task, [ingest])["ingest"]
        is_new = Task.get_task(task_id=ingested["dataset_id"]).get_status() not in DONE
        dataset_id = run_steps(task, [register], {"ingest": ingested})["register"]["dataset_id"]
    outcome = "registered" if is_new else "its content was there already"
    return Uploaded(dataset_id, f"{outcome} ({ingested['chips']:,} chips)")


def dataset_address(api: Api, dataset_id: str) -> str:
    """Return the page of a dataset's version."""
    project = Task.get_task(task_id=dataset_id).project
    return f"{api.web}/datasets/simple/{project}/experiments/{dataset_id}"


def _registered(config: Config) -> Registered | None:
    data, names = config.dataset, config.clearml
    source = project_source(data.source, data.path, data.kaggle, data.sample.chips, data.sample.seed)
    return find_registered(
        names.project, names.dataset, origin_of(source, data.labels, data.max_bad_fraction)
    )
