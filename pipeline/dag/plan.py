"""The plan of a run: which steps would come from the cache, and why the others would run."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from pipeline.clearml_tasks import DONE, TaskRecord, exactly, find
from pipeline.config.parameters import Run
from pipeline.connection import Api
from pipeline.controller import Step, steps_of, steps_to_refresh
from pipeline.dag.explain import ARGUMENTS, changed_since, last_completed
from pipeline.dag.incumbent import champion
from pipeline.runs.follow import STYLES
from pipeline.runs.state import pipeline_projects
from planets.system import short_id
from steps.select import select_best

_REFERENCE = re.compile(r"\$\{(\w+)\.(?:id|parameters\.return/(\w+))\}")
"""A reference to a parent's task, or to a value that it returned: see `pipeline.controller.Step`."""


class Planned(NamedTuple):
    """A step as it would be: `cached` or `run`, and why."""

    name: str
    state: str
    why: str


def plan_of(api: Api, run: Run) -> list[Planned]:
    """Return what a run would do now, without starting anything.

    A step is cached if a completed task of its name has the same arguments, the version of its code among
    them. A step after one that would run has unknown arguments: it runs too, unless its parent returns what
    it returned before.

    Raises:
        ConfigError: `refresh` names a step that the run does not have.
    """
    steps = steps_of(run)
    refreshed = steps_to_refresh(run.refresh, steps)
    projects = pipeline_projects(api, run.config.clearml.project, run.config.clearml.pipeline)
    cached: dict[str, TaskRecord] = {}
    planned = []
    for step in steps:
        unknown = [parent.name for parent in step.parents if parent.name not in cached]
        if step.name in refreshed:
            planned.append(Planned(step.name, "run", "refresh was asked for"))
        elif unknown:
            planned.append(Planned(step.name, "run", f"after {', '.join(unknown)}"))
        else:
            arguments = _arguments(api, step, cached)
            task = _same(api, projects, step.name, arguments)
            if task:
                cached[step.name] = task
                why = f"same inputs and code as in task {short_id(task.id)}"
                planned.append(Planned(step.name, "cached", why))
            else:
                new = TaskRecord("", step.name, parameters={"kwargs": arguments})
                before = last_completed(api, projects, step.name)
                why = changed_since(api, new, before, step.code.parts)
                planned.append(Planned(step.name, "run", why))
    return planned


def plan_table(planned: Sequence[Planned]) -> Table:
    """Return the table that a person reads."""
    table = Table()
    table.add_column("step", no_wrap=True)
    table.add_column("would", no_wrap=True)
    table.add_column("why", overflow="fold")
    for step in planned:
        style = STYLES["cached"] if step.state == "cached" else ""
        table.add_row(step.name, Text(step.state, style=style), step.why)
    return table


def _arguments(api: Api, step: Step, cached: Mapping[str, TaskRecord]) -> dict[str, str]:
    """Return the step's arguments as its task would hold them; its parents are cached."""

    def value(reference: re.Match[str]) -> str:
        task, returned = cached[reference[1]], reference[2]
        return task.returned[returned] if returned else task.id

    arguments = {name: _REFERENCE.sub(value, str(argument)) for name, argument in step.arguments.items()}
    if step.function is select_best:
        arguments["champion"] = champion(api, arguments)
    return arguments


def _same(api: Api, projects: list[str], name: str, arguments: Mapping[str, str]) -> TaskRecord | None:
    """Return the last completed task of this name with these arguments, if there is one."""
    if not projects:
        return None
    tasks = find(
        api,
        ARGUMENTS,
        "hyperparams.return",
        project=projects,
        name=exactly(name),
        status=list(DONE),
        system_tags=["-archived"],
        order_by=["-created"],
    )
    return next((task for task in tasks if task.arguments == arguments), None)
