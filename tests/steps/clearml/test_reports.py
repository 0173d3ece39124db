"""Tables of evaluations: their content, and how the SDK stores and shows them."""

import math

from support.sdk_process import running_task

from planets.metrics.significance import Comparison, Lead
from steps.clearml.reports import comparisons_table, per_label_table, refinements_table

ROW = {
    "precision": 0.123456,
    "recall": 1.0,
    "f2": 0.5,
    "ap": None,
    "support": 0,
    "predicted": 2,
    "threshold": 0.2,
}
REPORT = {
    split: {"per_label": {"clear": ROW, "haze": ROW | {"ap": 0.75, "support": 3}}}
    for split in ("valid", "test")
}
GAIN = {"difference": -1e-6, "low": -0.01, "high": 0.01, "p": 0.9}
LEAD = Lead(Comparison(**GAIN), Comparison(**GAIN), smaller=True)
TRIAL = {
    "name": "tta",
    "setting": "auto",
    "kept": False,
    "gain": GAIN,
    "f2": [0.9, 0.91],
    "map": [0.6, 0.61],
}


def test_per_label_has_a_row_per_split_and_label() -> None:
    table = per_label_table(REPORT)
    assert table[["split", "label"]].to_numpy().tolist() == [
        ["valid", "clear"], ["valid", "haze"], ["test", "clear"], ["test", "haze"],
    ]  # fmt: skip
    assert table.loc[0, "precision"] == 0.1235
    assert math.isnan(table.loc[0, "ap"])
    assert table["support"].tolist() == [0, 3, 0, 3]


def test_per_label_without_thresholds() -> None:
    report = {split: {"per_label": {"clear": ROW | {"threshold": None}}} for split in ("valid", "test")}
    assert per_label_table(report)["threshold"].isna().all()


def test_negligible_losses_are_not_negative_zeros() -> None:
    refinements = refinements_table([TRIAL])
    assert math.copysign(1, refinements.loc[0, "gain"]) == 1
    assert refinements.loc[0, ["kept", "f2 without", "map with"]].tolist() == ["no", 0.9, 0.61]
    comparisons = comparisons_table("a", {"b": LEAD, "c": LEAD._replace(smaller=False)})
    assert list(comparisons)[1:] == ["a better than", "difference of F2", "low", "high", "p", "significant"]
    assert comparisons["significant"].tolist() == ["no: smaller", "no"] * 2
    assert (comparisons["difference of F2"].map(lambda value: math.copysign(1, value)) == 1).all()


def test_nothing_tried_is_an_empty_table() -> None:
    assert refinements_table([]).empty
    comparisons = comparisons_table("a", {})
    assert comparisons.empty
    assert "split" in comparisons


def report():
    from clearml import Task

    from steps.clearml.reports import report_comparisons

    with running_task("select") as task:
        report_comparisons("a", {"b": LEAD})
    task = Task.get_task(task_id=task.id)
    artifact = task.artifacts["comparisons"]
    return {
        "preview": artifact.preview,
        "rows": artifact.get().to_numpy().tolist(),
        "plots": sorted((plot["metric"], plot["variant"]) for plot in task.get_reported_plots()),
    }


def test_tables_are_artifacts_and_plots(call) -> None:
    stored = call(report)
    assert "a better than" in stored["preview"]
    assert [row[:3] for row in stored["rows"]] == [["valid", "b", 0.0], ["test", "b", 0.0]]
    assert stored["plots"] == [["paired comparison", "test"], ["paired comparison", "valid"]]
