"""Calls of the events service for the latest plots and debug images."""

import json
from typing import Any

from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidArgument
from server.stores.events import IMAGE, PLOT

service = Service("events")

LARGEST_BATCH = 10_000


@service.reads("get_task_plots")
def get_task_plots(call: Call) -> Document:
    """Return a task's plots: the latest ``iters`` iterations of each metric and variant."""
    events = _latest(call, [call.arguments.text("task")], PLOT)
    return {"plots": events, "returned": len(events), "total": len(events), "scroll_id": ""}


@service.reads("get_multi_task_plots")
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


@service.reads("debug_images")
def debug_images(call: Call) -> Document:
    """Return ``iters`` iterations of debug images per task and metric, latest first; scroll for more."""
    size = min(max(call.arguments.integer("iters", 1), 1), LARGEST_BATCH)
    scroll = call.arguments.maybe_text("scroll_id") or "0"
    start = int(scroll[:18]) if scroll.isascii() and scroll.isdigit() else 0
    images = [_images(call, item, start, size) for item in call.arguments.mappings("metrics")]
    return {"metrics": images, "scroll_id": str(start + size)}


def _images(call: Call, item: Document, start: int, size: int) -> Document:
    task, metric, variants = item.get("task"), item.get("metric"), item.get("variants")
    if not isinstance(task, str) or not isinstance(metric, (str, type(None))):
        raise InvalidArgument("Validation error: metrics: each needs a task, and a metric that is a string")
    if not isinstance(variants, (list, type(None))):
        raise InvalidArgument("Validation error: metrics: variants must be an array of string")
    rows = call.db.execute(
        "SELECT iter, variant, doc FROM events WHERE task = ? AND type = ? AND (? IS NULL OR metric = ?)"
        " ORDER BY iter DESC, metric, variant",
        (task, IMAGE, metric, metric),
    )
    iterations: dict[int, list[Document]] = {}
    for row in rows:
        if not variants or row["variant"] in variants:
            iterations.setdefault(row["iter"], []).append(json.loads(row["doc"]))
    page = list(iterations.items())[start : start + size]
    grouped = [{"iter": iteration, "events": events} for iteration, events in page]
    return {"task": task, "metric": metric, "iterations": grouped}


def _latest(call: Call, tasks: list[str], kind: str) -> list[Document]:
    """Return the last ``iters`` iterations of every metric and variant, oldest first."""
    iterations = min(max(call.arguments.integer("iters", 1), 1), LARGEST_BATCH)
    rows = call.db.execute(
        "SELECT doc FROM (SELECT doc, task, metric, variant, iter, row_number() OVER"
        " (PARTITION BY task, metric, variant ORDER BY iter DESC) AS place FROM events"
        " WHERE task IN (SELECT value FROM json_each(?)) AND type = ?) WHERE place <= ?"
        " ORDER BY task, metric, variant, iter",
        (json.dumps(tasks), kind, iterations),
    )
    return [json.loads(row["doc"]) for row in rows]
