"""Calls of the events service that read metrics: names, values, curves and plots."""

import json
import re
from typing import Any

from server.dispatch import Call, Service
from server.documents import Document
from server.requests import Arguments
from server.stores.events import (
    LOG,
    PLOT,
    SCALAR,
    SINGLE_VALUE_ITERATION,
    TYPES,
    VECTOR,
    averaged_curve,
    in_series,
    series,
)
from server.stores.models import load_model
from server.stores.tasks import load_task

service = Service("events")

CURVES = ("key", "samples")
PLOTS = ("metrics", "iters", "scroll_id")
SAMPLES = 6000
RAW_BATCH, LARGEST_RAW_BATCH = 10_000, 200_000
POINT = re.compile("[0-9]{1,18}")
"""A scroll id of raw points: the number of the last one's event."""

MAX_ITERATIONS = 10_000
KEYS = {"iter": "iter", "timestamp": "timestamp", "iso_time": "timestamp"}


@service.reads("scalar_metrics_iter_histogram", "task", "metrics", *CURVES)
def scalar_metrics_iter_histogram(call: Call) -> Document:
    """Return the curves of a task: metric -> variant -> {x, y}, averaged in ``samples`` bins."""
    return _curves(call, read_source(call))


@service.reads("multi_task_scalar_metrics_iter_histogram", "tasks", "metrics", *CURVES)
def multi_task_scalar_metrics_iter_histogram(call: Call) -> Document:
    """Return the curves of several tasks: metric -> variant -> task -> {x, y}."""
    metrics: Document = {}
    for task_id in call.arguments.texts("tasks"):
        name = load_task(call.db, task_id)["name"]
        for metric, variants in _curves(call, task_id).items():
            for variant, points in variants.items():
                metrics.setdefault(metric, {}).setdefault(variant, {})[task_id] = {**points, "name": name}
    return {"metrics": metrics}


@service.reads("scalar_metrics_iter_raw", "task", "metric", "key", "batch_size", "count_total", "scroll_id")
def scalar_metrics_iter_raw(call: Call) -> Document:
    """Return all points of a metric, of all variants or some: variant -> {x, y}; scroll for the next page."""
    key = KEYS[call.arguments.choice("key", KEYS, "iter")]
    call.arguments.require("metric")
    fields = Arguments(call.arguments.mapping("metric"))
    task, metric = read_source(call), fields.text("metric")
    size = min(max(call.arguments.integer("batch_size", RAW_BATCH), 1), LARGEST_RAW_BATCH)
    chosen, names = in_series({metric: fields.texts("variants")})
    condition = f"task = ? AND type = ? AND type <> 'log' AND metric = ? AND {chosen}"
    values = [task, SCALAR, metric, *names]
    after, place = "", []
    match = call.arguments.scroll(POINT)
    if match:
        after = f" AND (variant, iter) > (SELECT variant, iter FROM events WHERE {condition} AND number = ?)"
        place = [*values, int(match[0])]
    rows = call.db.execute(
        f"SELECT number, variant, {key} AS x, value FROM events WHERE {condition}{after}"
        " ORDER BY variant, iter LIMIT ?",
        [*values, *place, size],
    ).fetchall()
    variants: Document = {}
    for row in rows:
        points = variants.setdefault(row["variant"], {"name": row["variant"], "x": [], "y": []})
        points["x"].append(row["x"])
        points["y"].append(row["value"])
    total = None
    if call.arguments.flag("count_total"):
        total = call.db.execute(f"SELECT count(*) FROM events WHERE {condition}", values).fetchone()[0]
    scroll = str(rows[-1]["number"]) if rows else call.arguments.raw("scroll_id") or ""
    return {"variants": variants, "returned": len(rows), "total": total, "scroll_id": scroll}


@service.reads("vector_metrics_iter_histogram", "task", "metric", "variant")
def vector_metrics_iter_histogram(call: Call) -> Document:
    """Return the reports of a vector metric and variant, by iteration."""
    rows = call.db.execute(
        "SELECT doc FROM events WHERE task = ? AND type = ? AND metric = ? AND variant = ? ORDER BY iter",
        (read_source(call), VECTOR, call.arguments.text("metric"), call.arguments.text("variant")),
    )
    return {"images": [json.loads(row["doc"]) for row in rows]}


@service.reads("get_task_single_value_metrics", "tasks")
def get_task_single_value_metrics(call: Call) -> Document:
    """Return the values that tasks reported without an iteration (``report_single_value``)."""
    return {
        "tasks": [
            {"task": task_id, "values": _single_values(call, task_id)}
            for task_id in call.arguments.texts("tasks")
        ]
    }


@service.reads("get_task_latest_scalar_values", "task")
def get_task_latest_scalar_values(call: Call) -> Document:
    """Return the task's name, status and last iteration, and the last value of each of its metrics."""
    task = load_task(call.db, call.arguments.text("task"))
    metrics: dict[str, list[Document]] = {}
    newest = 0
    for metric, variants in task["last_metrics"].items():
        stats = task["metric_stats"].get(metric, {}).get("event_stats_by_type", {})
        timestamp = stats.get(SCALAR, {}).get("last_update", 0)
        newest = max(newest, timestamp)
        for entry in variants.values():
            value = {"name": entry["variant"], "last_value": entry["value"], "last_timestamp": timestamp}
            metrics.setdefault(entry["metric"], []).append(value)
    return {
        "name": task["name"],
        "status": task["status"],
        "last_iter": task["last_iteration"],
        "last_timestamp": newest,
        "metrics": [{"name": name, "variants": variants} for name, variants in metrics.items()],
    }


@service.reads("get_task_metrics", "tasks", "event_type")
def get_task_metrics(call: Call) -> Document:
    """Return the names of the metrics that tasks reported, of one event type or all."""
    kind = call.arguments.choice("event_type", TYPES, "")
    kinds = ({kind} if kind else TYPES) - {LOG}
    names = []
    for task_id in call.arguments.texts("tasks"):
        metrics = {metric for kind in kinds for metric, _ in series(call.db, task_id, kind) if metric}
        names.append({"task": task_id, "metrics": sorted(metrics)})
    return {"metrics": names}


@service.reads("get_scalar_metrics_and_variants", "task")
def get_scalar_metrics_and_variants(call: Call) -> Document:
    """Return the scalar metrics of a task with their variants."""
    return {"metrics": _variants(call, SCALAR)}


@service.reads("get_vector_metrics_and_variants", "task")
def get_vector_metrics_and_variants(call: Call) -> Document:
    """Return the vector metrics of a task with their variants."""
    return {"metrics": _variants(call, VECTOR)}


@service.reads("get_task_plots", "task", *PLOTS)
def get_task_plots(call: Call) -> Document:
    """Return a task's plots: the latest ``iters`` iterations of each metric and variant."""
    events = _latest(call, [read_source(call)], PLOT)
    return {"plots": events, "returned": len(events), "total": len(events), "scroll_id": ""}


@service.reads("get_multi_task_plots", "tasks", *PLOTS)
def get_multi_task_plots(call: Call) -> Document:
    """Return the plots of several tasks: metric -> variant -> task -> iteration."""
    plots: dict[str, Any] = {}
    events = _latest(call, call.arguments.texts("tasks"), PLOT)
    for event in events:
        task = plots.setdefault(event.get("metric", ""), {}).setdefault(event.get("variant", ""), {})
        iteration = task.setdefault(event["task"], {}).setdefault(
            str(event.get("iter", 0)), {"name": event["task"], "plots": []}
        )
        iteration["plots"].append(event)
    return {"plots": plots, "returned": len(events), "total": len(events), "scroll_id": ""}


def read_source(call: Call) -> str:
    """Return the id of the task or model whose events are meant; raises InvalidTask or InvalidModel."""
    source = call.arguments.text("task")
    sql = "SELECT 1 FROM tasks WHERE id = :id UNION ALL SELECT 1 FROM models WHERE id = :id"
    if call.db.execute(sql, {"id": source}).fetchone() is None:
        load = load_model if call.arguments.flag("model_events") else load_task
        load(call.db, source)
    return source


def read_series(arguments: Arguments) -> dict[str, list[str]]:
    """Return the metrics that the call asks for with their variants (none: all); {} for all metrics.

    Raises:
        InvalidArgument: An item of ``metrics`` has no metric, or variants that are not strings.
    """
    wanted: dict[str, list[str]] = {}
    for item in arguments.mappings("metrics"):
        fields = Arguments(item)
        wanted[fields.text("metric")] = fields.texts("variants")
    return wanted


def _curves(call: Call, task: str) -> Document:
    """Return metric -> variant -> {name, x, y} of the metrics that the call asks for."""
    wanted = read_series(call.arguments)
    key = call.arguments.choice("key", KEYS, "iter")
    samples = call.arguments.integer("samples", SAMPLES)
    curves: Document = {}
    for metric, variant in series(call.db, task, SCALAR):
        if wanted and (metric not in wanted or (wanted[metric] and variant not in wanted[metric])):
            continue
        points = averaged_curve(call.db, task, metric, variant, samples, KEYS[key])
        if points:
            x, y = ([point[place] for point in points] for place in (0, 1))
            curves.setdefault(metric, {})[variant] = {"name": variant, "x": x, "y": y}
    return curves


def _single_values(call: Call, task: str) -> list[Document]:
    rows = call.db.execute(
        "SELECT metric, variant, value, timestamp FROM events WHERE task = ? AND type = ? AND iter = ?",
        (task, SCALAR, SINGLE_VALUE_ITERATION),
    )
    return [dict(row) for row in rows]


def _variants(call: Call, kind: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for metric, variant in series(call.db, read_source(call), kind):
        names.setdefault(metric, []).append(variant)
    return names


def _latest(call: Call, tasks: list[str], kind: str) -> list[Document]:
    """Return the last ``iters`` iterations of every metric and variant, oldest first, on the one page."""
    if call.arguments.maybe_text("scroll_id"):
        return []
    iterations = min(max(call.arguments.integer("iters", 1), 1), MAX_ITERATIONS)
    chosen, values = in_series(read_series(call.arguments))
    rows = call.db.execute(
        "SELECT doc FROM (SELECT doc, task, metric, variant, iter, row_number() OVER"
        " (PARTITION BY task, metric, variant ORDER BY iter DESC) AS place FROM events"
        f" WHERE task IN (SELECT value FROM json_each(?)) AND type = ? AND {chosen}) WHERE place <= ?"
        " ORDER BY task, metric, variant, iter",
        (json.dumps(tasks), kind, *values, iterations),
    )
    return [json.loads(row["doc"]) for row in rows]
