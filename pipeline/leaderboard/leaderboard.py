"""Leaderboards: every evaluated model of the project, ranked among those evaluated on the same chips."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pandas as pd
from rich.console import Console
from rich.table import Table

from pipeline.clearml_tasks import DONE, TaskRecord, TaskUnavailable, fetch, find, project_ids
from pipeline.connection import Api
from pipeline.runs.outcome import AHEAD, Comparisons, gain_text
from planets.commands import command
from planets.config.project import ENSEMBLE
from planets.metrics.significance import lead, smaller_equals
from steps.clearml.artifacts import load_arrays

SHOWN = 20
"""Number of rows that are printed; the others are counted."""

RANKING = {"valid_f2": False, "is_ensemble": True, "model": True, "completed": True}
"""Sort columns, True for ascending: of equal scores the model that is cheaper to use, then the older."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Leaderboard:
    """Evaluations on the chips of one split, the best first.

    Attributes:
        split: digest of the validation and test chips; scores on different chips are not comparable.
        dataset: name and version of the dataset, or its id if it was deleted.
        dataset_id: id of the dataset version.
        dataset_project: project of its page; empty if it was deleted.
        rows: columns of `evaluations`, best first, indexed from 0.
    """

    split: str
    dataset: str
    dataset_id: str
    dataset_project: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class Selection:
    """A row of a leaderboard and the best row of each other model."""

    leaderboard: Leaderboard
    best: Mapping[str, Any]

    @property
    def rivals(self) -> pd.DataFrame:
        """The best row of each model but the selected one."""
        best_of_each = self.leaderboard.rows.drop_duplicates("model")
        return best_of_each[best_of_each["model"].ne(str(self.best["model"]))]

    def comparisons(self, seed: int) -> Comparisons:
        """Return the lead of the selected model over each rival, chip by chip."""
        best = load_arrays(self.best["task_id"], "per_chip")
        return {
            model: lead(best, load_arrays(task_id, "per_chip"), seed)
            for model, task_id in self.rivals[["model", "task_id"]].itertuples(index=False)
        }

    def preferred(self, seed: int) -> "Selection":
        """Return the best single network instead of an ensemble that is not significantly better.

        As in the pipeline's `select`: a single network is cheaper to serve.
        """
        singles = self.leaderboard.rows[~self.leaderboard.rows["is_ensemble"].astype(bool)]
        if not self.best["is_ensemble"] or singles.empty:
            return self
        single = records(singles.head(1))[0]
        ensemble, network = (load_arrays(row["task_id"], "per_chip") for row in (self.best, single))
        return self if lead(ensemble, network, seed).valid.better else Selection(self.leaderboard, single)


def leaderboards(api: Api, project: str) -> list[Leaderboard]:
    """Return the project's leaderboards: newest dataset first, then newest split."""
    table = evaluations(api, project)
    datasets = fetch(api, table["dataset_id"], "runtime")
    boards = []
    for split, rows in table.groupby("split"):
        oldest = records(rows.nsmallest(1, "started"))[0]
        dataset = datasets.get(oldest["dataset_id"])
        board = Leaderboard(
            split=str(split),
            dataset=_dataset_title(dataset) if dataset else oldest["dataset_id"],
            dataset_id=oldest["dataset_id"],
            dataset_project=dataset.project if dataset else "",
            rows=rows.sort_values(list(RANKING), ascending=list(RANKING.values()), ignore_index=True),
        )
        registered = dataset.created if dataset else None
        boards.append((registered or LONG_AGO, oldest["started"], board))
    return [board for _, _, board in sorted(boards, key=lambda item: item[:2], reverse=True)]


def evaluations(api: Api, project: str) -> pd.DataFrame:
    """Return every completed, unarchived evaluation of the project and of its pipelines.

    Columns:
        task_id, project: the task that evaluated, and its project.
        run_id: the pipeline run that it is a step of; empty for a plain training.
        train_id: the task that trained; empty for a plain training and for an ensemble.
        model, valid_f2, test_f2, constant_f2: what the evaluation returned.
        dataset_id, split: the chips that it used.
        is_ensemble: True for an average of models.
        settings: dict of the step's settings as text.
        started, completed: UTC times.
    """
    columns = [
        *("task_id", "project", "run_id", "train_id", "model", "valid_f2", "test_f2", "constant_f2"),
        *("dataset_id", "split", "is_ensemble", "settings", "started", "completed"),
    ]
    return pd.DataFrame([_row(task) for task in _evaluation_tasks(api, project)], columns=columns)


def select(
    api: Api, project: str, boards: Sequence[Leaderboard], model: str = "", task: str = "", split: str = ""
) -> Selection:
    """Select a row: the best of the first leaderboard by default.

    Args:
        api: the server, which messages name.
        project: the project, which messages name.
        boards: from `leaderboards`.
        model: consider this model only.
        task: select this task: its id, the beginning of its id, or the address of its page.
        split: the beginning of a leaderboard's split.

    Raises:
        TaskUnavailable: nothing matches; the message names what there is.
    """
    if not boards:
        raise TaskUnavailable(
            f"the project {project!r} at {api.host} has no completed, unarchived evaluation; start one with "
            f"`{command('train')}` or `{command('run')}`"
        )
    if task:
        return _select_task(boards, task)
    board = next((board for board in boards if board.split.startswith(split)), None)
    if board is None:
        known = ", ".join(board.split for board in boards)
        raise TaskUnavailable(f"nothing was evaluated on a split {split!r}; there are: {known}")
    rows = board.rows[board.rows["model"] == model] if model else board.rows
    if rows.empty:
        names = ", ".join(sorted(board.rows["model"].unique()))
        raise TaskUnavailable(f"no evaluation of {model!r} on the split {board.split}; there are: {names}")
    return Selection(board, records(rows)[0])


def show_selection(
    console: Console, boards: Sequence[Leaderboard], selection: Selection, comparisons: Comparisons
) -> None:
    """Print the selection's leaderboard, the selected row marked, and count the rows of the others."""
    board = selection.leaderboard
    console.print(f"compared on {board.dataset}, split {board.split}: the same chips for every row")
    console.print(_table(selection, comparisons))
    if len(board.rows) > SHOWN:
        console.print(f"and {len(board.rows) - SHOWN} more below these")
    for other in boards:
        if other is not board:
            console.print(
                f"not compared: {len(other.rows)} on {other.dataset}, split {other.split} "
                f"(--split {other.split[:6]}): other chips"
            )


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries by column."""
    return cast(list[dict[str, Any]], rows.to_dict("records"))


def _evaluation_tasks(api: Api, project: str) -> Iterator[TaskRecord]:
    """Yield the project's completed tasks that evaluated a model."""
    projects = project_ids(api, f"^{re.escape(project)}(/.*)?$")
    # Without a project the search would cover all of them.
    if not projects:
        return
    for task in find(
        api,
        *("hyperparams.return", "hyperparams.properties", "hyperparams.kwargs"),
        project=projects,
        status=list(DONE),
        system_tags=["-archived"],
    ):
        # An ensemble of fewer than two models returns no name; `select` returns scores but records no split.
        if "valid_f2" in task.returned and task.returned.get("name") and "split" in task.properties:
            yield task


def _dataset_title(dataset: TaskRecord) -> str:
    return f"{dataset.name} {dataset.runtime.get('version', '')}".rstrip()


def _row(task: TaskRecord) -> dict[str, Any]:
    returned, settings = task.returned, task.settings
    return {
        "task_id": task.id,
        "project": task.project,
        # A clone of a plain training has a parent too: its source.
        "run_id": task.parent if task.arguments else "",
        "train_id": settings.get("train_id", ""),
        "model": returned["name"],
        **{f"{split}_f2": float(returned[f"{split}_f2"]) for split in ("valid", "test", "constant")},
        "dataset_id": task.properties["dataset"],
        "split": task.properties["split"],
        "is_ensemble": returned["name"] == ENSEMBLE,
        "settings": settings,
        "started": task.started,
        "completed": task.completed,
    }


def _select_task(boards: Sequence[Leaderboard], task: str) -> Selection:
    selections = [
        Selection(board, row)
        for board in boards
        for row in records(board.rows)
        if row["task_id"] in task or row["task_id"].startswith(task)
    ]
    if len(selections) > 1:
        raise TaskUnavailable(
            f"task {task}: {len(selections)} evaluations have ids that begin so; write more"
        )
    if not selections:
        raise TaskUnavailable(
            f"task {task} has evaluated no model of this project, did not complete, or is archived; "
            "name an evaluation, an ensemble or a plain training"
        )
    return selections[0]


def _table(selection: Selection, comparisons: Comparisons) -> Table:
    table = Table(caption=smaller_equals(selection.best["model"], comparisons))
    table.add_column("model", no_wrap=True)
    for heading in ("valid_f2", "test_f2", AHEAD):
        table.add_column(heading, justify="right")
    for heading in ("from", "completed", "task"):
        table.add_column(heading, no_wrap=True)
    compared = set(selection.rivals["task_id"])
    for row in records(selection.leaderboard.rows.head(SHOWN)):
        selected = row["task_id"] == selection.best["task_id"]
        table.add_row(
            f"[bold green]{row['model']} *[/bold green]" if selected else row["model"],
            f"{row['valid_f2']:.4f}",
            f"{row['test_f2']:.4f}",
            gain_text(comparisons[row["model"]].valid) if row["task_id"] in compared else "",
            "pipeline" if row["run_id"] else "plain training",
            f"{row['completed']:%Y-%m-%d %H:%M}",
            row["task_id"][:8],
        )
    return table
