"""`experiments.md`: the leaderboards as tables, with settings, intervals, durations and links.

Rows are not padded and no time of writing is recorded, so a new evaluation is a new line in a diff.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.clearml_tasks import TaskRecord, fetch
from pipeline.connection import Api
from pipeline.leaderboard.leaderboard import Leaderboard, records
from pipeline.runs.follow import clock
from planets.commands import command

INTRODUCTION = """\
# Experiments

Written by `{command}` from the project `{project}` in ClearML; edits here are overwritten.

F2 is the mean over chips, with its 95 % bootstrap interval. Models are ranked by `valid_f2`, which is
cross-fitted but does not pay for the choice of the epoch; test is used once per evaluation and decides
nothing. Scores are comparable within one table only: its models were evaluated on the same chips. Time is
the duration of the training; a plain training's includes data and evaluation.
"""

COLUMNS = ("model", "settings", "valid F2", "test F2", "time", "from")

SETTINGS = {
    "architecture": "{}",
    "image_size": "{} px",
    "epochs": "{} epochs",
    "batch_size": "batch {}",
    "learning_rate": "rate {}",
    "seed": "seed {}",
}
"""Settings of the training that a row shows, with their formats."""

NO_EVALUATIONS = f"\nNo model was evaluated yet: `{command('train')}`, or `{command('run')}`.\n"


def render(api: Api, project: str, boards: Sequence[Leaderboard]) -> str:
    """Return the text of `experiments.md`, one table per leaderboard."""
    introduction = INTRODUCTION.format(command=command("experiments"), project=project)
    if not boards:
        return introduction + NO_EVALUATIONS
    rows = pd.concat([board.rows for board in boards])
    evaluations = fetch(api, rows["task_id"], "last_metrics")
    trainings = fetch(api, rows["train_id"], "hyperparams.kwargs")
    runs = fetch(api, rows["run_id"])

    def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
        training = trainings.get(row["train_id"])
        intervals = _single_values(evaluations.get(row["task_id"]))
        page = f"{api.web}/projects/{row['project']}/experiments/{row['task_id']}/output/log"
        return (
            f"[{row['model']}]({page})",
            _settings(row, training),
            _score(row["valid_f2"], intervals, "valid"),
            _score(row["test_f2"], intervals, "test"),
            _duration(row, training),
            _origin(row, runs.get(row["run_id"]), api.web),
        )

    sections = []
    for board in boards:
        table = pd.DataFrame([cells(row) for row in records(board.rows)], columns=COLUMNS)
        sections.append(f"{_heading(board, api.web)}\n{_markdown(table)}")
    return introduction + "\n" + "\n\n".join(sections) + "\n"


def _markdown(table: pd.DataFrame) -> str:
    """Return a table of texts in Markdown, without padding."""
    escaped = table.map(lambda cell: cell.replace("|", r"\|"))
    lines = [table.columns, ["---"] * len(table.columns), *escaped.to_numpy()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _heading(board: Leaderboard, web: str) -> str:
    page = f"{web}/datasets/simple/{board.dataset_project}/experiments/{board.dataset_id}"
    dataset = f"[{board.dataset}]({page})" if board.dataset_project else board.dataset
    constant = f"The best constant prediction scores {board.rows['constant_f2'].iloc[0]:.4f} on test."
    return f"## {dataset}, split {board.split}\n\n{constant}\n"


def _single_values(task: TaskRecord | None) -> dict[str, float]:
    """Return the values that a task reported without an iteration, by name."""
    metrics = task.metrics if task else {}
    return {variant: value for (metric, variant), value in metrics.items() if metric == "Summary"}


def _score(value: float, intervals: Mapping[str, float], split: str) -> str:
    ends = [intervals.get(f"{split}_f2_{end}") for end in ("low", "high")]
    return f"{value:.4f}" if None in ends else f"{value:.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"


def _settings(row: Mapping[str, Any], training: TaskRecord | None) -> str:
    if row["is_ensemble"]:
        members = [candidate.partition("=")[0] for candidate in row["settings"]["candidates"].split()]
        return f"mean of {', '.join(members)}"
    settings = training.settings if training else row["settings"]
    return ", ".join(form.format(settings[name]) for name, form in SETTINGS.items() if name in settings)


def _duration(row: Mapping[str, Any], training: TaskRecord | None) -> str:
    """Return the duration of the training; an ensemble has none."""
    if row["is_ensemble"]:
        return ""
    return clock(training.seconds if training else (row["completed"] - row["started"]).total_seconds())


def _origin(row: Mapping[str, Any], run: TaskRecord | None, web: str) -> str:
    if run is None:
        origin = "a deleted run" if row["run_id"] else "plain training"
        return f"{origin} {row['started']:%Y-%m-%d %H:%M}"
    return f"[{run.name} {run.created:%Y-%m-%d %H:%M}]({web}/pipelines/{run.project}/experiments/{run.id})"
