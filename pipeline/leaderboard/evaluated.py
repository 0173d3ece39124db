"""The project's evaluated tasks: what each one evaluated, on which chips, and what it scored."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.api import Api
from pipeline.runs.state import identity
from planets.config.evaluation import ENSEMBLE

PAGE = 200
"""So many tasks are asked for at a time."""

FIELDS = (
    *("id", "name", "project", "parent", "started", "completed"),
    *("hyperparams.return", "hyperparams.properties", "hyperparams.kwargs"),
)

Section = dict[str, str]


@dataclass(frozen=True)
class Evaluated:
    """A completed task that evaluated a model: a step of a pipeline run, or a plain training.

    Attributes:
        name: of the model.
        run_id: the pipeline run that made it; empty for a plain training.
        split: digest of the chips of valid and test: what has another one is no competitor.
        told: the step's parameters, or the properties of a plain training.
    """

    task_id: str
    project: str
    run_id: str
    name: str
    valid_f2: float
    test_f2: float
    constant_f2: float
    dataset_id: str
    split: str
    started: str
    completed: str
    told: Section = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, bool, str, str]:
        """Sorts the best first: by `valid_f2`; of equals the one that is cheaper to use, then the older."""
        return -self.valid_f2, self.name == ENSEMBLE, self.name, self.completed


def evaluated(api: Api, project: str) -> list[Evaluated]:
    """Every evaluation of the project, its pipelines included, that completed and is not archived."""
    found = [_read(task) for task in _tasks(api, project)]
    return [each for each in found if each is not None]


def by_id(api: Api, ids: Iterable[str], *fields: str) -> dict[str, dict[str, Any]]:
    """Fields of those of the tasks that are still there, by id."""
    wanted = sorted({each for each in ids if each})
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(wanted), PAGE):
        some = wanted[start : start + PAGE]
        tasks = api.call("tasks.get_all", id=some, only_fields=["id", *fields], search_hidden=True)["tasks"]
        found |= {task["id"]: task for task in tasks}
    return found


def _tasks(api: Api, project: str) -> Iterator[dict[str, Any]]:
    pattern = f"^{re.escape(project)}(/.*)?$"
    projects = api.call("projects.get_all", name=pattern, search_hidden=True, only_fields=["id"])["projects"]
    ids = [each["id"] for each in projects]
    page = 0
    # A list of no projects would mean all of them.
    while ids:
        tasks = api.call(
            "tasks.get_all",
            project=ids,
            status=["completed", "published"],
            system_tags=["-archived"],
            order_by=["created"],
            only_fields=list(FIELDS),
            search_hidden=True,
            page=page,
            page_size=PAGE,
        )["tasks"]
        yield from tasks
        page += 1
        if len(tasks) < PAGE:
            return


def _read(task: Mapping[str, Any]) -> Evaluated | None:
    returned, noted = section(task, "return"), section(task, "properties")
    # An ensemble of fewer than two models has no name; select returns scores, and notes no split.
    if "valid_f2" not in returned or not returned.get("name") or "split" not in noted:
        return None
    return Evaluated(
        task_id=task["id"],
        project=identity(task.get("project")),
        # A clone has a parent, too: the task that it was cloned from.
        run_id=identity(task.get("parent")) if section(task, "kwargs") else "",
        name=returned["name"],
        valid_f2=float(returned["valid_f2"]),
        test_f2=float(returned["test_f2"]),
        constant_f2=float(returned["constant_f2"]),
        dataset_id=noted["dataset"],
        split=noted["split"],
        started=task["started"],
        completed=task["completed"],
        told=section(task, "kwargs") or noted,
    )


def section(task: Mapping[str, Any], name: str) -> Section:
    """The parameters of one section of a task, as text."""
    items = (task.get("hyperparams") or {}).get(name) or {}
    return {key: str(item.get("value") or "") for key, item in items.items()}
