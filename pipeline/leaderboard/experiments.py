"""`experiments.md`: every evaluation of the project as a table, with nothing in it that changes by itself.

Rows are not padded and no time of writing is noted: a new evaluation is a new line, and the others stay.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from pipeline.api import Api
from pipeline.leaderboard.evaluated import Evaluated, Section, by_id, section
from pipeline.leaderboard.leaderboard import Contest
from pipeline.runs.epochs import clock
from pipeline.runs.state import identity

INTRODUCTION = """\
# Experiments

Written by `make experiments` from the project `{project}` in ClearML; what is edited here is lost.

F2 is the mean over chips, with its 95 % bootstrap interval. `valid_f2` is out of sample and chooses the best;
test is looked at once per evaluation. Only models of one table can be compared: they were evaluated on the
same chips. Time is that of the training; a plain training's includes its data and its evaluation.
"""

HEADING = "| model | settings | valid F2 | test F2 | time | from |\n| --- | --- | --- | --- | --- | --- |"

SETTINGS = {
    "architecture": "{}",
    "image_size": "{} px",
    "epochs": "{} epochs",
    "batch_size": "batch {}",
    "learning_rate": "rate {}",
    "seed": "seed {}",
}
"""The settings that a row shows, as the training was told them, and how."""

NOTHING = "\nNo model was evaluated yet: make train, or make train.pipeline.\n"


def render(api: Api, project: str, found: Sequence[Contest]) -> str:
    """The text of `experiments.md`: the newest contest first, the best of each first."""
    entries = [each for contest in found for each in contest.entries]
    scores = by_id(api, (each.task_id for each in entries), "last_metrics")
    runs = by_id(api, (each.run_id for each in entries), "name", "project", "created")
    ids = (each.told.get("train_id", "") for each in entries)
    trainings = by_id(api, ids, "hyperparams.kwargs", "started", "completed")

    def row(each: Evaluated) -> str:
        training = trainings.get(each.told.get("train_id", ""), {})
        told = section(training, "kwargs") or each.told
        told = told | {key: str(value) for key, value in json.loads(told.get("settings") or "{}").items()}
        model = f"[{each.name}]({api.web}/projects/{each.project}/experiments/{each.task_id}/output/log)"
        single = summary(scores.get(each.task_id, {}))
        valid, test = _score(each.valid_f2, single, "valid"), _score(each.test_f2, single, "test")
        cells = (
            model,
            _settings(each, told),
            valid,
            test,
            _time(each, training),
            _origin(each, runs, api.web),
        )
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    tables = [[_title(contest, api.web), HEADING, *map(row, contest.entries)] for contest in found]
    sections = "\n\n".join("\n".join(table) for table in tables)
    return INTRODUCTION.format(project=project) + (f"\n{sections}\n" if tables else NOTHING)


def summary(task: Mapping[str, Any]) -> dict[str, float]:
    """The single values that a task reported, by name."""
    variants = chain.from_iterable(metric.values() for metric in (task.get("last_metrics") or {}).values())
    return {each["variant"]: each["value"] for each in variants if each["metric"] == "Summary"}


def _title(contest: Contest, web: str) -> str:
    page = f"{web}/datasets/simple/{contest.dataset_project}/experiments/{contest.dataset_id}"
    dataset = f"[{contest.dataset}]({page})" if contest.dataset_project else contest.dataset
    constant = f"The best constant prediction scores {contest.entries[0].constant_f2:.4f} on test."
    return f"## {dataset}, split {contest.split}\n\n{constant}\n"


def _score(value: float, single: Mapping[str, float], part: str) -> str:
    ends = [single[f"{part}_f2_{end}"] for end in ("low", "high") if f"{part}_f2_{end}" in single]
    return f"{value:.4f}" + (" [{:.4f}, {:.4f}]".format(*ends) if len(ends) == 2 else "")


def _settings(each: Evaluated, told: Section) -> str:
    if "candidates" in each.told:
        names = [candidate.partition("=")[0] for candidate in each.told["candidates"].split()]
        return f"mean of {', '.join(names)}"
    return ", ".join(form.format(told[name]) for name, form in SETTINGS.items() if name in told)


def _time(each: Evaluated, training: Mapping[str, Any]) -> str:
    """Of the training; an ensemble has none."""
    if "candidates" in each.told:
        return ""
    begun, ended = training.get("started", each.started), training.get("completed", each.completed)
    return clock((datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds())


def _origin(each: Evaluated, runs: Mapping[str, Mapping[str, Any]], web: str) -> str:
    run = runs.get(each.run_id)
    if run is None:
        return f"{'a run that is gone' if each.run_id else 'plain training'} {_moment(each.started)}"
    page = f"{web}/pipelines/{identity(run.get('project'))}/experiments/{each.run_id}"
    return f"[{run['name']} {_moment(run['created'])}]({page})"


def _moment(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}"
