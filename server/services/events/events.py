"""The events service: events in, out by page, and deleted; logs."""

import json
import re
from typing import Any

from server.dispatch import ANYTHING, Call, Service
from server.documents import Document, milliseconds
from server.requests import LARGEST_INTEGER
from server.services.events.metrics import read_series, read_source
from server.services.events.writer import add_events
from server.stores.events import LOG, SCALAR, TYPES, delete_some, delete_some_lines, in_series
from server.stores.models import load_model, save_model
from server.stores.tasks import load_task, save_task

service = Service("events")

SCROLLED = ("batch_size", "order", "scroll_id")
ORDERS = ("asc", "desc")
BATCH = 500
LARGEST_BATCH = 10_000
POSITION = re.compile("(?P<timestamp>-?[0-9]{1,18}):(?P<number>[0-9]{1,18})")
"""A scroll id: the place of the last event on the page."""


@service.writes("add", ANYTHING)
@service.writes("add_batch", ANYTHING)
def add_batch(call: Call) -> Document:
    """Store one event, or several as JSON lines; an invalid line is counted, and the others are stored."""
    return add_events(call, call.lines)


@service.reads("get_task_events", "task", "event_type", *SCROLLED)
def get_task_events(call: Call) -> Document:
    """Return a task's events by time, of one type or all; scroll for the next page."""
    kind = call.arguments.choice("event_type", TYPES, "")
    task = read_source(call)
    condition, values = ("task = ? AND type = ?", [task, kind]) if kind else ("task = ?", [task])
    return _scrolled(call, condition, values, _count(call, task, kind or None))


@service.reads(
    "get_task_log", "task", "metrics", "iters", "batch_size", "navigate_earlier", "from_timestamp", "order"
)
def get_task_log(call: Call) -> Document:
    """Return a page of the log; ``navigate_earlier`` pages back from ``from_timestamp`` or the end.

    ``metrics`` and ``iters``, the number of the last iterations, choose lines.
    """
    task = read_source(call)
    earlier = call.arguments.flag("navigate_earlier", True)
    start = call.arguments.integer("from_timestamp", -1)
    chosen, values = _chosen_lines(call, task)
    sign, direction = ("<", "DESC") if earlier else (">", "ASC")
    rows = call.db.execute(
        f"SELECT doc FROM events WHERE {chosen} AND (? OR timestamp {sign} ?)"
        f" ORDER BY timestamp {direction}, number {direction} LIMIT ?",
        (*values, start < 0, start, _batch_size(call)),
    )
    lines = [json.loads(row["doc"]) for row in rows]
    descending = call.arguments.choice("order", ORDERS, "desc" if earlier else "asc") == "desc"
    if descending != earlier:
        lines.reverse()
    narrowed = "metrics" in call.arguments or "iters" in call.arguments
    total = _count_where(call, chosen, values) if narrowed else _count(call, task, LOG)
    return {"events": lines, "returned": len(lines), "total": total}


@service.reads("download_task_log", "task")
def download_task_log(call: Call) -> Document:
    """Return all lines of the task's log, oldest first."""
    rows = call.db.execute(
        "SELECT doc FROM events WHERE task = ? AND type = 'log' ORDER BY timestamp, number",
        (read_source(call),),
    )
    return {"lines": [json.loads(row["doc"]).get("msg", "") for row in rows]}


@service.reads("get_scalar_metric_data", "task", "metric", *SCROLLED)
def get_scalar_metric_data(call: Call) -> Document:
    """Return all reports of one metric or all, by time; scroll for the next page."""
    task, metric = read_source(call), call.arguments.maybe_text("metric")
    if metric is None:
        return _scrolled(call, "task = ? AND type = ?", [task, SCALAR], _count(call, task, SCALAR))
    condition, values = "task = ? AND type = ? AND metric = ?", [task, SCALAR, metric]
    return _scrolled(call, condition, values, _count_where(call, condition, values))


@service.writes("delete_for_task", "task")
def delete_for_task(call: Call) -> Document:
    """Delete all events of a task and reset its last metrics and iteration."""
    task = load_task(call.db, call.arguments.text("task"))
    images = call.db.execute("DELETE FROM events WHERE task = ?", (task["id"],)).rowcount
    task |= {"last_metrics": {}, "metric_stats": {}, "last_iteration": 0}
    save_task(call.db, task, call.now)
    return {"deleted": images + call.sliced > 0}


@service.in_slices("delete_for_task")
def delete_events(call: Call) -> int:
    """Delete some events of the task and return how many."""
    return delete_some(call.db, [load_task(call.db, call.arguments.text("task"))["id"]])


@service.writes("clear_task_log", "task", "threshold_sec")
def clear_task_log(call: Call) -> Document:
    """Delete the lines of a task's log, with ``threshold_sec`` those older than that; return how many."""
    return {"deleted": call.sliced}


@service.in_slices("clear_task_log")
def delete_lines(call: Call) -> int:
    """Delete some lines of the log and return how many."""
    task = load_task(call.db, call.arguments.text("task"))
    age = max(0, call.arguments.integer("threshold_sec", 0))
    # Lines may be reported with times to come; without a threshold they go, too.
    before = milliseconds() - 1000 * age if age else LARGEST_INTEGER
    return delete_some_lines(call.db, task["id"], before)


@service.writes("delete_for_model", "model")
def delete_for_model(call: Call) -> Document:
    """Delete all events of a model and reset its last metrics and iteration."""
    model = load_model(call.db, call.arguments.text("model"))
    images = call.db.execute("DELETE FROM events WHERE task = ?", (model["id"],)).rowcount
    save_model(call.db, call.now, model | {"last_metrics": {}, "last_iteration": 0})
    return {"deleted": images + call.sliced > 0}


@service.in_slices("delete_for_model")
def delete_model_events(call: Call) -> int:
    """Delete some events of the model and return how many."""
    return delete_some(call.db, [load_model(call.db, call.arguments.text("model"))["id"]])


@service.reads("clear_scroll", "scroll_id")
def clear_scroll(call: Call) -> Document:
    """Forget a scroll: a no-op, because scroll ids hold no state here."""
    return {}


def _chosen_lines(call: Call, task: str) -> tuple[str, list[Any]]:
    """Return SQL for the log's lines of the wanted ``metrics`` and of the last ``iters`` iterations."""
    chosen, names = in_series(read_series(call.arguments))
    condition, values = f"task = ? AND type = 'log' AND {chosen}", [task, *names]
    if "iters" not in call.arguments:
        return condition, values
    latest = f"SELECT DISTINCT iter FROM events WHERE {condition} ORDER BY iter DESC LIMIT ?"
    iterations = min(max(call.arguments.integer("iters", 1), 1), LARGEST_BATCH)
    return f"{condition} AND iter IN ({latest})", [*values, *values, iterations]


def _count_where(call: Call, condition: str, values: list[Any]) -> int:
    return int(call.db.execute(f"SELECT count(*) AS n FROM events WHERE {condition}", values).fetchone()["n"])


def _scrolled(call: Call, condition: str, values: list[Any], total: int) -> Document:
    """Return a page of events; the scroll id is its end, so nothing is kept between calls."""
    ascending = call.arguments.choice("order", ORDERS, "asc") == "asc"
    comparison, direction = (">", "ASC") if ascending else ("<", "DESC")
    position = call.arguments.scroll(POSITION)
    parameters = list(values)
    if position:
        condition += f" AND (timestamp, number) {comparison} (?, ?)"
        parameters += [int(position["timestamp"]), int(position["number"])]
    rows = call.db.execute(
        f"SELECT timestamp, number, doc FROM events WHERE {condition}"
        f" ORDER BY timestamp {direction}, number {direction} LIMIT ?",
        (*parameters, _batch_size(call)),
    ).fetchall()
    events = [json.loads(row["doc"]) for row in rows]
    end = f"{rows[-1]['timestamp']}:{rows[-1]['number']}" if rows else call.arguments.raw("scroll_id") or ""
    return {"returned": len(events), "total": total, "scroll_id": end, "events": events}


def _batch_size(call: Call) -> int:
    return min(max(call.arguments.integer("batch_size", BATCH), 1), LARGEST_BATCH)


def _count(call: Call, task: str, kind: str | None) -> int:
    sql = "SELECT total(stored) AS n FROM event_counts WHERE task = ? AND (? IS NULL OR type = ?)"
    return int(call.db.execute(sql, (task, kind, kind)).fetchone()["n"])
