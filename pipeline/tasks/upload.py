"""Puts the dataset into ClearML from this process: one task, in which the steps run as plain functions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clearml import Task

from pipeline.api import Api
from pipeline.config.parameters import Run
from pipeline.controller import ONLY_WHAT_STEPS_REPORT
from planets.config.project import Config
from planets.errors import PlanetsError
from planets.sources.source import source_of
from steps.clearml import origins
from steps.clearml import task as tracking
from steps.clearml.code_version import code_of
from steps.clearml.errors import StepError
from steps.ingest import ingest_chips
from steps.register import register_dataset

TASK = "upload"


class Uploaded(NamedTuple):
    """The registered dataset, and what was done to have it, for a person."""

    dataset_id: str
    done: str


def upload_dataset(config: Config, refresh: bool = False) -> Uploaded:
    """Register the dataset of `config`; with `refresh` look at its content even if its source is known.

    Where the source is known nothing is fetched, audited or uploaded, and no task is made.

    Raises:
        PlanetsError: the source cannot be reached, or its content cannot be used.
    """
    there = None if refresh else _registered(config)
    if there is not None:
        return Uploaded(there.dataset_id, f"registered before from this source ({there.chips:,} chips)")
    run = Run(config, config.models)
    with _task(config, refresh) as task:
        draft, content, chips = ingest_chips(**run.ingest(task.id))
        new = Task.get_task(task_id=draft).get_status() not in tracking.DONE
        told = run.register() | {"dataset_id": draft, "content_hash": content}
        dataset_id = register_dataset(**told)
    return Uploaded(
        dataset_id, f"{'registered' if new else 'its content was there already'} ({chips:,} chips)"
    )


def dataset_address(api: Api, dataset_id: str) -> str:
    """The page of a dataset's version."""
    project = Task.get_task(task_id=dataset_id).project
    return f"{api.web}/datasets/simple/{project}/experiments/{dataset_id}"


def _registered(config: Config) -> origins.Registered | None:
    data, names = config.dataset, config.clearml
    source = source_of(
        data.source,
        tracking.host_cache() / "sources",
        data.path,
        data.kaggle,
        data.sample.chips,
        data.sample.seed,
        code_of("ingest").version,
    )
    origin = origins.origin_of(source, data.max_bad_fraction)
    return origins.find_registered(names.project, names.dataset, origin)


@contextmanager
def _task(config: Config, refresh: bool) -> Iterator[Task]:
    """A task of this process, which ends as the block does: completed, failed, or stopped by Ctrl-C."""
    task = Task.init(
        project_name=config.clearml.project,
        task_name=TASK,
        task_type=Task.TaskTypes.data_processing,
        reuse_last_task_id=False,
        auto_connect_arg_parser=False,
        auto_connect_frameworks=ONLY_WHAT_STEPS_REPORT,
        auto_resource_monitoring=False,
    )
    if refresh:
        task.set_parameter(origins.REFRESH, "ingest")
    try:
        yield task
    except (PlanetsError, StepError) as error:
        _closed(task).mark_failed(status_reason=type(error).__name__, status_message=str(error), force=True)
        raise
    except KeyboardInterrupt:
        _closed(task).mark_stopped(force=True, status_message="stopped from the terminal")
        raise
    task.close()


def _closed(task: Task) -> Task:
    """The task once all that it reported is sent; closing it says that it completed, whatever happened."""
    task.close()
    return Task.get_task(task_id=task.id)
