"""Calls of the events service about metrics: their curves, their values and their names."""

from collections.abc import Mapping
from typing import Any

from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidArgument
from server.stores.events import LOG, SCALAR, SINGLE_VALUE_ITERATION, TYPES, VECTOR, curve, series
from server.stores.tasks import load_task

service = Service("events")

SAMPLES = 6000
KEYS = {"iter": "iter", "timestamp": "timestamp", "iso_time": "timestamp"}


@service.reads("scalar_metrics_iter_histogram")
def scalar_metrics_iter_histogram(call: Call) -> Document:
    """Return the curves of a task: metric -> variant -> {x, y}, thinned to ``samples`` points."""
    wanted = {item.get("metric"): item.get("variants") for item in call.arguments.mappings("metrics")}
    return _curves(call, call.arguments.text("task"), wanted)


@service.reads("multi_task_scalar_metrics_iter_histogram")
def multi_task_scalar_metrics_iter_histogram(call: Call) -> Document:
    """Return the curves of several tasks: metric -> variant -> task -> {x, y}."""
    metrics: Document = {}
    for task_id in call.arguments.texts("tasks"):
        name = load_task(call.db, task_id)["name"]
        for metric, variants in _curves(call, task_id, {}).items():
            for variant, points in variants.items():
                metrics.setdefault(metric, {}).setdefault(variant, {})[task_id] = {**points, "name": name}
    return {"metrics": metrics}


@service.reads("get_task_single_value_metrics")
def get_task_single_value_metrics(call: Call) -> Document:
    """Return the values that tasks reported without an iteration (``report_single_value``)."""
    return {
        "tasks": [
            {"task": task_id, "values": _single_values(call, task_id)}
            for task_id in call.arguments.texts("tasks")
        ]
    }


@service.reads("get_task_latest_scalar_values")
def get_task_latest_scalar_values(call: Call) -> Document:
    """Return the last value of each of the task's metrics."""
    task = load_task(call.db, call.arguments.text("task"))
    metrics: dict[str, list[Document]] = {}
    for variants in task["last_metrics"].values():
        for entry in variants.values():
            value = {"name": entry["variant"], "last_value": entry["value"], "last_timestamp": 0}
            metrics.setdefault(entry["metric"], []).append(value)
    return {"metrics": [{"name": name, "variants": variants} for name, variants in metrics.items()]}


@service.reads("get_task_metrics")
def get_task_metrics(call: Call) -> Document:
    """Return the names of the metrics that tasks reported, of one event type or all."""
    kind = call.arguments.maybe_text("event_type")
    kinds = TYPES - {LOG} if kind is None else {kind} - {LOG}
    names = []
    for task_id in call.arguments.texts("tasks"):
        metrics = {metric for kind in kinds for metric, _ in series(call.db, task_id, kind) if metric}
        names.append({"task": task_id, "metrics": sorted(metrics)})
    return {"metrics": names}


@service.reads("get_scalar_metrics_and_variants")
def get_scalar_metrics_and_variants(call: Call) -> Document:
    """Return the scalar metrics of a task with their variants."""
    return {"metrics": _variants(call, SCALAR)}


@service.reads("get_vector_metrics_and_variants")
def get_vector_metrics_and_variants(call: Call) -> Document:
    """Return the vector metrics of a task with their variants."""
    return {"metrics": _variants(call, VECTOR)}


def _curves(call: Call, task: str, wanted: Mapping[Any, Any]) -> Document:
    """Return metric -> variant -> {name, x, y}; ``wanted`` (metric -> variants or None) filters it."""
    key = call.arguments.maybe_text("key") or "iter"
    if key not in KEYS:
        raise InvalidArgument(f"Validation error: key must be one of {sorted(KEYS)}, not {key!r:.60}")
    samples = call.arguments.integer("samples", SAMPLES)
    curves: Document = {}
    for metric, variant in series(call.db, task, SCALAR):
        points = curve(call.db, task, metric, variant, samples) if _chosen(wanted, metric, variant) else []
        if points:
            x, y = [point[KEYS[key]] for point in points], [point["value"] for point in points]
            curves.setdefault(metric, {})[variant] = {"name": variant, "x": x, "y": y}
    return curves


def _chosen(wanted: Mapping[Any, Any], metric: str, variant: str) -> bool:
    if not wanted:
        return True
    variants = wanted.get(metric, ())
    return variants is None or (isinstance(variants, list) and (not variants or variant in variants))


def _single_values(call: Call, task: str) -> list[Document]:
    rows = call.db.execute(
        "SELECT metric, variant, value, timestamp FROM events WHERE task = ? AND type = ? AND iter = ?",
        (task, SCALAR, SINGLE_VALUE_ITERATION),
    )
    return [dict(row) for row in rows]


def _variants(call: Call, kind: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for metric, variant in series(call.db, call.arguments.text("task"), kind):
        names.setdefault(metric, []).append(variant)
    return names
