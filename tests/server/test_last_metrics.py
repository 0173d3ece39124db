"""A task's last metrics describe the stored series, in whatever order its reports arrive."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.embedded import Embedded

REPORTS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([-1.5, 0.0, 0.25, 0.5, 2.0])), min_size=1, max_size=12
)


def report(server: Embedded, task: str, *reports: tuple[int, float]) -> None:
    lines = [
        {
            "type": "training_stats_scalar",
            "task": task,
            "metric": "loss",
            "variant": "train",
            "iter": iteration,
            "value": value,
            "timestamp": 1,
        }
        for iteration, value in reports
    ]
    assert server.events(*lines).data["added"] == len(reports)


def last(server: Embedded, task: str) -> dict[str, Any]:
    ((entry,),) = [variants.values() for variants in server.task(task)["last_metrics"].values()]
    return entry


def test_a_late_report_does_not_move_the_last_value_back(shared: Embedded) -> None:
    task = shared.new_task()
    report(shared, task, (10, 0.2))
    report(shared, task, (3, 0.9))
    entry = last(shared, task)
    assert (entry["value"], entry["count"]) == (0.2, 2)
    assert (entry["first_value"], entry["first_value_iteration"]) == (0.9, 3)
    assert (entry["max_value"], entry["max_value_iteration"]) == (0.9, 3)


def test_a_resumed_run_counts_no_report_twice(shared: Embedded) -> None:
    task = shared.new_task()
    report(shared, task, (0, 0.9), (1, 0.5), (2, 0.1))
    report(shared, task, (1, 0.6), (2, 0.3))
    entry = last(shared, task)
    assert (entry["value"], entry["count"]) == (0.3, 3)
    assert entry["mean_value"] == pytest.approx(0.6)
    assert (entry["min_value"], entry["min_value_iteration"]) == (0.3, 2)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=REPORTS)
def test_last_metrics_equal_those_of_the_stored_series(
    shared: Embedded, reports: list[tuple[int, float]]
) -> None:
    task = shared.new_task()
    report(shared, task, *reports)
    stored = dict(reports)
    entry = last(shared, task)
    assert entry["value"] == stored[max(stored)]
    assert (entry["first_value_iteration"], entry["first_value"]) == (min(stored), stored[min(stored)])
    assert entry["count"] == len(stored)
    assert entry["mean_value"] == pytest.approx(sum(stored.values()) / len(stored))
    assert entry["min_value"] == min(stored.values()) == stored[entry["min_value_iteration"]]
    assert entry["max_value"] == max(stored.values()) == stored[entry["max_value_iteration"]]
