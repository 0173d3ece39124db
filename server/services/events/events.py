"""The events service: scalars, plots, debug images and the log of tasks."""

import json
from typing import Any

from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidArgument
from server.services.events.curves import curves
from server.services.events.writer import add_events
from server.stores.events import LOG, SCALAR, SINGLE_VALUE_ITERATION, TYPES, VECTOR, series
from server.stores.tasks import load_task, save_task, touch

service = Service("events")

BATCH = 500
LARGEST_BATCH = 10_000


@service.writes("add")
def add(call: Call) -> Document:
    """Store one event, or several as JSON lines; answers how many were right."""
    return add_events(call, call.lines)


@service.writes("add_batch")
def add_batch(call: Call) -> Document:
    """Store events given as JSON lines; a wrong line is counted and loses no other."""
    return add_events(call, call.lines)


@service.reads("get_task_events")
def get_task_events(call: Call) -> Document:
    """Events of a task by time, of one type or of all; scroll for the next page."""
    kind = call.arguments.maybe_text("event_type")
    if kind is not None and kind not in TYPES:
        raise InvalidArgument(f"Validation error: event_type: {kind!r:.60} is not one of {sorted(TYPES)}")
    task = call.arguments.text("task")
    condition, values = ("task = ? AND type = ?", [task, kind]) if kind else ("task = ?", [task])
    return _scrolled(call, condition, values, _count(call, task, kind))


@service.reads("get_task_log")
def get_task_log(call: Call) -> Document:
    """A page of the log. ``navigate_earlier`` walks to the past from ``from_timestamp`` (or from the end)."""
    task = call.arguments.text("task")
    earlier = call.arguments.flag("navigate_earlier", True)
    start = call.arguments.integer("from_timestamp", -1)
    size = _batch_size(call, 500)
    sign, direction = ("<", "DESC") if earlier else (">", "ASC")
    rows = call.db.execute(
        f"SELECT doc FROM events WHERE task = ? AND type = 'log' AND (? OR timestamp {sign} ?)"
        f" ORDER BY timestamp {direction}, number {direction} LIMIT ?",
        (task, start < 0, start, size),
    )
    found = [json.loads(row["doc"]) for row in rows]
    descending = (call.arguments.maybe_text("order") or ("desc" if earlier else "asc")) == "desc"
    if descending != earlier:
        found.reverse()
    return {"events": found, "returned": len(found), "total": _count(call, task, LOG)}


@service.reads("download_task_log")
def download_task_log(call: Call) -> Document:
    """Every line of the task's log, oldest first."""
    rows = call.db.execute(
        "SELECT doc FROM events WHERE task = ? AND type = 'log' ORDER BY timestamp, number",
        (call.arguments.text("task"),),
    )
    return {"lines": [json.loads(row["doc"]).get("msg", "") for row in rows]}


@service.reads("scalar_metrics_iter_histogram")
def scalar_metrics_iter_histogram(call: Call) -> Document:
    """The curves of a task: metric -> variant -> {x, y}, thinned to ``samples`` points."""
    wanted = {item.get("metric"): item.get("variants") for item in call.arguments.mappings("metrics")}
    return curves(call, call.arguments.text("task"), wanted)


@service.reads("multi_task_scalar_metrics_iter_histogram")
def multi_task_scalar_metrics_iter_histogram(call: Call) -> Document:
    """The curves of several tasks side by side: metric -> variant -> task -> {x, y}."""
    metrics: Document = {}
    for task_id in call.arguments.texts("tasks"):
        name = load_task(call.db, task_id)["name"]
        for metric, variants in curves(call, task_id, {}).items():
            for variant, curve in variants.items():
                metrics.setdefault(metric, {}).setdefault(variant, {})[task_id] = {**curve, "name": name}
    return {"metrics": metrics}


@service.reads("get_scalar_metric_data")
def get_scalar_metric_data(call: Call) -> Document:
    """Every single report of a metric, or of all metrics, by time; scroll for the next page."""
    task, metric = call.arguments.text("task"), call.arguments.maybe_text("metric")
    if metric is None:
        return _scrolled(call, "task = ? AND type = ?", [task, SCALAR], _count(call, task, SCALAR))
    condition, values = "task = ? AND type = ? AND metric = ?", [task, SCALAR, metric]
    total = call.db.execute(f"SELECT count(*) FROM events WHERE {condition}", values).fetchone()[0]
    return _scrolled(call, condition, values, total)


@service.reads("get_task_single_value_metrics")
def get_task_single_value_metrics(call: Call) -> Document:
    """What tasks reported once, without an iteration (``report_single_value``)."""
    return {
        "tasks": [
            {"task": task_id, "values": _single_values(call, task_id)}
            for task_id in call.arguments.texts("tasks")
        ]
    }


@service.reads("get_task_latest_scalar_values")
def get_task_latest_scalar_values(call: Call) -> Document:
    """The last value of each of the task's metrics."""
    task = load_task(call.db, call.arguments.text("task"))
    metrics: dict[str, list[Document]] = {}
    for variants in task["last_metrics"].values():
        for entry in variants.values():
            value = {"name": entry["variant"], "last_value": entry["value"], "last_timestamp": 0}
            metrics.setdefault(entry["metric"], []).append(value)
    return {"metrics": [{"name": name, "variants": variants} for name, variants in metrics.items()]}


@service.reads("get_task_metrics")
def get_task_metrics(call: Call) -> Document:
    """The names of the metrics that tasks reported, of one event type or of all."""
    kind = call.arguments.maybe_text("event_type")
    kinds = TYPES - {LOG} if kind is None else {kind} - {LOG}
    answers = []
    for task_id in call.arguments.texts("tasks"):
        found = {metric for each in kinds for metric, _ in series(call.db, task_id, each) if metric}
        answers.append({"task": task_id, "metrics": sorted(found)})
    return {"metrics": answers}


@service.reads("get_scalar_metrics_and_variants")
def get_scalar_metrics_and_variants(call: Call) -> Document:
    """The scalar metrics of a task with their variants."""
    return {"metrics": _variants(call, SCALAR)}


@service.reads("get_vector_metrics_and_variants")
def get_vector_metrics_and_variants(call: Call) -> Document:
    """The vector metrics of a task with their variants."""
    return {"metrics": _variants(call, VECTOR)}


@service.writes("delete_for_task")
def delete_for_task(call: Call) -> Document:
    """Delete all events of a task; its last metrics and iteration start anew."""
    task = load_task(call.db, call.arguments.text("task"))
    gone = call.db.execute("DELETE FROM events WHERE task = ?", (task["id"],)).rowcount
    task |= {"last_metrics": {}, "metric_stats": {}, "last_iteration": 0}
    touch(task, call.now)
    save_task(call.db, task)
    return {"deleted": gone > 0}


@service.reads("clear_scroll")
def clear_scroll(call: Call) -> Document:
    """Forget a scroll: nothing to do, scroll ids keep nothing here."""
    return {}


def _scrolled(call: Call, condition: str, values: list[Any], total: int) -> Document:
    """Events page by page. The scroll id is where the last page ended, so nothing is kept between calls."""
    ascending = (call.arguments.maybe_text("order") or "asc") == "asc"
    comparison, direction = (">", "ASC") if ascending else ("<", "DESC")
    timestamp, number = _position(call.arguments.maybe_text("scroll_id"))
    parameters = list(values)
    if timestamp is not None:
        condition += f" AND (timestamp, number) {comparison} (?, ?)"
        parameters += [timestamp, number]
    rows = call.db.execute(
        f"SELECT timestamp, number, doc FROM events WHERE {condition}"
        f" ORDER BY timestamp {direction}, number {direction} LIMIT ?",
        (*parameters, _batch_size(call, BATCH)),
    ).fetchall()
    events = [json.loads(row["doc"]) for row in rows]
    end = (
        f"{rows[-1]['timestamp']}:{rows[-1]['number']}"
        if rows
        else call.arguments.maybe_text("scroll_id") or ""
    )
    return {"returned": len(events), "total": total, "scroll_id": end, "events": events}


def _position(scroll: str | None) -> tuple[int | None, int]:
    timestamp, _, number = (scroll or "").partition(":")
    digits = timestamp.removeprefix("-")
    if digits.isascii() and digits.isdigit() and number.isascii() and number.isdigit():
        return int(timestamp[:19]), int(number[:18])
    return None, 0


def _batch_size(call: Call, default: int) -> int:
    return min(max(call.arguments.integer("batch_size", default), 1), LARGEST_BATCH)


def _single_values(call: Call, task: str) -> list[Document]:
    rows = call.db.execute(
        "SELECT metric, variant, value, timestamp FROM events WHERE task = ? AND type = ? AND iter = ?",
        (task, SCALAR, SINGLE_VALUE_ITERATION),
    )
    return [dict(row) for row in rows]


def _variants(call: Call, kind: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for metric, variant in series(call.db, call.arguments.text("task"), kind):
        found.setdefault(metric, []).append(variant)
    return found


def _count(call: Call, task: str, kind: str | None) -> int:
    sql = "SELECT total(stored) AS n FROM event_counts WHERE task = ? AND (? IS NULL OR type = ?)"
    return int(call.db.execute(sql, (task, kind, kind)).fetchone()["n"])
