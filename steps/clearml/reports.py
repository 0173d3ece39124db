"""What evaluations and comparisons show in ClearML: scores, tables, figures."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from steps.clearml import task as tracking


def report_subject(dataset_id: str, content: str, per_chip: Mapping[str, NDArray[Any]]) -> None:
    """Note on this task which chips were evaluated: F2 values of other chips are no competitors.

    `split` is a digest of the dataset's content and of the rows of valid and test. Both are user properties,
    which a table of tasks can show as columns.
    """
    rows = [per_chip[f"{part}_rows"].astype("<i8").tobytes() for part in ("valid", "test")]
    split = hashlib.sha256(b"/".join([content.encode(), *rows])).hexdigest()[:12]
    tracking.current_task().set_user_properties(dataset=dataset_id, split=split)


def report_evaluation(report: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
    """Show an evaluation in ClearML: its scores, a table with a row per label, its figures."""
    logger = tracking.current_task().get_logger()
    for part in ("valid", "test"):
        for name in ("f2", "f2_macro", "f2_micro", "map"):
            logger.report_single_value(f"{part}_{name}", report[part][name])
        for end, value in zip(("low", "high"), report[part]["f2_interval"], strict=True):
            logger.report_single_value(f"{part}_f2_{end}", value)
        rows = report[part]["per_label"]
        header = ["label", *next(iter(rows.values()))]
        table = [[label, *(_rounded(value) for value in row.values())] for label, row in rows.items()]
        report_table("per label", part, [header, *table])
    logger.report_single_value("constant_f2", report["constant"]["f2"])
    report_table("refinements", "on valid, out of sample", refinement_rows(report["refinements"]))
    tracking.report_figures(figures, "evaluation")


def refinement_rows(trials: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """A heading, and a row for each refinement that was tried: what it brings, and whether it is kept."""
    header = ["refinement", "setting", "judged by", "gain", "low", "high", "p", "kept"]
    header += ["f2 without", "f2 with", "map without", "map with"]
    rows = [
        [
            *(trial[key] for key in ("name", "setting", "judged_by")),
            *(_rounded(value) for value in trial["gain"].values()),
            "yes" if trial["kept"] else "no",
            *(_rounded(value) for measure in ("f2", "map") for value in trial[measure]),
        ]
        for trial in trials
    ]
    return [header, *rows]


def report_comparisons(best: str, comparisons: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Show in ClearML how much better `best` is than each other candidate."""
    for part in ("valid", "test"):
        rows = [
            [name, *(_rounded(value) for value in parts[part].values())]
            for name, parts in comparisons.items()
        ]
        header = [f"{best} better than", "difference of F2", "low", "high", "p"]
        report_table("paired comparison", part, [header, *rows])


def report_table(title: str, series: str, rows: list[list[Any]]) -> None:
    """Show a table in ClearML; its first row is the heading, and one with nothing else is not shown."""
    if len(rows) > 1:
        tracking.current_task().get_logger().report_table(title, series, iteration=0, table_plot=rows)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
