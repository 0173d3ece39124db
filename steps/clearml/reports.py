"""Scores and tables of evaluations in ClearML.

Tables are DataFrames. Each is shown as a plot and stored as an artifact, which ClearML's page previews.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from clearml import Task
from numpy.typing import NDArray

from planets.metrics.significance import Lead
from steps.clearml.task import current_task
from steps.clearml.uploads import upload_artifact, upload_figure

SPLITS = ("valid", "test")

EXAMPLES = 12
"""Chips that the page of a dataset shows with their tags."""


def report_dataset(dataset_id: str, labels: Mapping[str, int], examples: Mapping[str, Path]) -> None:
    """Show with a dataset the number of chips per label, and some chips by their names and tags."""
    dataset = Task.get_task(task_id=dataset_id)
    logger = dataset.get_logger()
    values, names = list(labels.values()), list(labels)
    title = "chips per label"
    logger.report_histogram(title, title, values, 0, xlabels=names, yaxis="chips")
    for caption, file in examples.items():
        upload_figure("example", caption, file, dataset)
    logger.flush(wait=True)


def report_subject(dataset_id: str, content: str, per_chip: Mapping[str, NDArray[Any]]) -> None:
    """Record on this task the evaluated chips: scores on different chips are not comparable.

    `split` is a digest of the dataset's content and of the rows of validation and test. Both are user
    properties, which a table of tasks can show as columns.
    """
    rows = [per_chip[f"{split}_rows"].astype("<i8").tobytes() for split in SPLITS]
    digest = hashlib.sha256(b"/".join([content.encode(), *rows])).hexdigest()[:12]
    current_task().set_user_properties(dataset=dataset_id, split=digest)


def report_evaluation(name: str, report: Mapping[str, Any]) -> None:
    """Report the scores and tables of the evaluation of the model `name`; see `Evaluation.report`."""
    logger = current_task().get_logger()
    for split in SPLITS:
        for metric in ("f2", "f2_macro", "f2_micro", "map"):
            logger.report_single_value(f"{split}_{metric}", report[split][metric])
        for end, value in zip(("low", "high"), report[split]["f2_interval"], strict=True):
            logger.report_single_value(f"{split}_f2_{end}", value)
    logger.report_single_value("constant_f2", report["constant"]["f2"])
    per_label = per_label_table(report)
    store_table("per_label", per_label)
    for split in SPLITS:
        rows = per_label[per_label["split"] == split].drop(columns="split")
        show_table("per label", split, rows.reset_index(drop=True))
    refinements = refinements_table(report["refinements"])
    store_table("refinements", refinements)
    show_table("refinements", "on valid, out of sample", refinements)
    if "shares" in report:
        weights = pd.DataFrame(report["shares"].items(), columns=["model", "share"])
        show_table("shares", name, weights)


def report_comparisons(best: str, leads: Mapping[str, Lead]) -> None:
    """Report how much better `best` is than each other candidate; see `select_best`."""
    table = comparisons_table(best, leads)
    store_table("comparisons", table)
    for split in SPLITS:
        rows = table[table["split"] == split].drop(columns="split")
        show_table("paired comparison", split, rows.reset_index(drop=True))


def report_figures(figures: Mapping[str, Path], series: str) -> None:
    """Show pictures with this task; when it returns, they are stored and their files may go."""
    for title, file in figures.items():
        upload_figure(title, series, file)


def per_label_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores of each label on validation and test, one row per split and label."""
    splits = {split: pd.DataFrame.from_dict(report[split]["per_label"], orient="index") for split in SPLITS}
    return _rounded(pd.concat(splits, names=["split", "label"]).reset_index())


def refinements_table(trials: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per refinement that was tried: its effect out of sample, and if it was kept."""
    table = pd.DataFrame(
        {
            "refinement": trial["name"],
            "setting": trial["setting"],
            "gain": trial["gain"]["difference"],
            **{key: trial["gain"][key] for key in ("low", "high", "p")},
            "kept": "yes" if trial["kept"] else "no",
            **dict(zip(("f2 without", "f2 with"), trial["f2"], strict=True)),
            **dict(zip(("map without", "map with"), trial["map"], strict=True)),
        }
        for trial in trials
    )
    return _rounded(table)


def comparisons_table(best: str, leads: Mapping[str, Lead]) -> pd.DataFrame:
    """Return one row per split and other candidate: the difference of F2, its interval, p, and a verdict.

    The verdict tells a significant lead from one that may be chance, and if the other network is smaller.
    """
    columns = ["split", f"{best} better than", "difference of F2", "low", "high", "p", "significant"]
    rows = [
        [split, name, *compared, "yes" if compared.better else "no: smaller" if ahead.smaller else "no"]
        for split in SPLITS
        for name, ahead in leads.items()
        for compared in [ahead.valid if split == "valid" else ahead.test]
    ]
    return _rounded(pd.DataFrame(rows, columns=columns))


def show_table(title: str, series: str, table: pd.DataFrame) -> None:
    """Show a table among the task's plots, unless it is empty."""
    if not table.empty:
        current_task().get_logger().report_table(title, series, iteration=0, table_plot=table)


def store_table(name: str, table: pd.DataFrame) -> None:
    """Upload a table as the artifact `name` of this task, unless it is empty."""
    if not table.empty:
        upload_artifact(name, table)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Round to four decimals; adding 0 turns -0.0, which would print as `-0.0`, into 0.0."""
    floats = table.select_dtypes("float").columns
    return table.assign(**{column: table[column].round(4) + 0.0 for column in floats})
