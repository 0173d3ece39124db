"""Summaries of events in their task: ``last_metrics``, ``metric_stats`` and ``last_iteration``.

``last_metrics`` describes the stored series, in whatever order the reports arrive: a resumed run sends
iterations again, and a late report may belong before the last one.
"""

import sqlite3

from server.documents import Document
from server.stores.events import SCALAR, Event, extremes, metric_hash, store, stored_at


def store_and_summarize(db: sqlite3.Connection, task: Document, event: Event) -> None:
    """Store the event and update the summaries in ``task``, which the caller saves."""
    replaced, last = stored_at(db, event) if event.type == SCALAR else (None, None)
    store(db, event)
    stats = task["metric_stats"].setdefault(
        metric_hash(event.metric), {"metric": event.metric, "event_stats_by_type": {}}
    )
    seen = stats["event_stats_by_type"].get(event.type, {}).get("last_update", event.timestamp)
    stats["event_stats_by_type"][event.type] = {"last_update": max(seen, event.timestamp)}
    task["last_iteration"] = max(task["last_iteration"], event.iteration)
    if event.type == SCALAR and event.value is not None:
        _summarize(db, task, event, event.value, replaced, last)


def _summarize(
    db: sqlite3.Connection,
    task: Document,
    event: Event,
    value: float,
    replaced: float | None,
    last: int | None,
) -> None:
    """Update the series' entry in ``last_metrics``.

    ``replaced`` is the value that the series had at this iteration, ``last`` its last iteration until now.
    """
    variants = task["last_metrics"].setdefault(metric_hash(event.metric), {})
    entry = variants.get(metric_hash(event.variant))
    if entry is None:
        variants[metric_hash(event.variant)] = _first(event, value)
        return
    if replaced is None:
        entry["count"] += 1
        entry["mean_value"] += (value - entry["mean_value"]) / entry["count"]
    else:
        entry["mean_value"] += (value - replaced) / entry["count"]
    if last is None or event.iteration >= last:
        entry["value"] = value
    if event.iteration <= entry["first_value_iteration"]:
        entry |= {"first_value": value, "first_value_iteration": event.iteration}
    if replaced is not None and replaced in (entry["min_value"], entry["max_value"]):
        smallest, largest = extremes(db, event)
        entry |= {"min_value": smallest["value"], "min_value_iteration": smallest["iter"]}
        entry |= {"max_value": largest["value"], "max_value_iteration": largest["iter"]}
    if value < entry["min_value"]:
        entry |= {"min_value": value, "min_value_iteration": event.iteration}
    if value > entry["max_value"]:
        entry |= {"max_value": value, "max_value_iteration": event.iteration}


def _first(event: Event, value: float) -> Document:
    return {
        "metric": event.metric,
        "variant": event.variant,
        "value": value,
        "min_value": value,
        "min_value_iteration": event.iteration,
        "max_value": value,
        "max_value_iteration": event.iteration,
        "first_value": value,
        "first_value_iteration": event.iteration,
        "count": 1,
        "mean_value": value,
    }
