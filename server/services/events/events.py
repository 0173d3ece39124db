"""The events service: events in, out by page, and deleted; logs."""

import json
from typing import Any

from server.dispatch import ANYTHING, Call, Service
from server.documents import Document
from server.requests import LARGEST_INTEGER
from server.services.events.metrics import read_series
from server.services.events.writer import add_events
from server.stores.events import LOG, SCALAR, TYPES, delete_some, in_series
from server.stores.tasks import load_task, save_task

service = Service("events")

SCROLLED = ("batch_size", "order", "scroll_id")
ORDERS = ("asc", "desc")
BATCH = 500
LARGEST_BATCH = 10_000


@service.writes("add", ANYTHING)
@service.writes("add_batch", ANYTHING)
def add_batch(call: Call) -> Document:
    """Store one event, or several as JSON lines; an invalid line is counted, and the others are stored."""
    return add_events(call, call.lines)


@service.reads("get_task_events", "task", "event_type", *SCROLLED)
def get_task_events(call: Call) -> Document:
    """Return a task's events by time, of one type or all; scroll for the next page."""
    kind = call.arguments.choice("event_type", TYPES, "")
    task = call.arguments.text("task")
    condition, values = ("task = ? AND type = ?", [task, kind]) if kind else ("task = ?", [task])
    return _scrolled(call, condition, values, _count(call, task, kind or None))


@service.reads(
    "get_task_log", "task", "metrics", "iters", "batch_size", "navigate_earlier", "from_timestamp", "order"
)
def get_task_log(call: Call) -> Document:
    """Return a page of the log; ``navigate_earlier`` pages back from ``from_timestamp`` or the end.

    ``metrics`` and ``iters``, the number of the last iterations, choose lines.
    """
    task = call.arguments.text("task")
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
        (call.arguments.text("task"),),
    )
    return {"lines": [json.loads(row["doc"]).get("msg", "") for row in rows]}


@service.reads("get_scalar_metric_data", "task", "metric", *SCROLLED)
def get_scalar_metric_data(call: Call) -> Document:
    """Return all reports of one metric or all, by time; scroll for the next page."""
    task, metric = call.arguments.text("task"), call.arguments.maybe_text("metric")
    if metric is None:
        return _scrolled(call, "task = ? AND type = ?", [task, SCALAR], _count(call, task, SCALAR))
    condition, values = "task = ? AND type = ? AND metric = ?", [task, SCALAR, metric]
    return _scrolled(call, condition, values, _count_where(call, condition, values))


@service.writes("delete_for_task", "task")
def delete_for_task(call: Call) -> Document:
    """Delete all events of a task and reset its last metrics and iteration."""
    task = load_task(call.db, call.arguments.text("task"))
    # The slices delete all but the images; the metrics tell that there was something.
    gone = call.db.execute("DELETE FROM events WHERE task = ?", (task["id"],)).rowcount
    deleted = gone > 0 or bool(task["metric_stats"])
    task |= {"last_metrics": {}, "metric_stats": {}, "last_iteration": 0}
    save_task(call.db, task, call.now)
    return {"deleted": deleted}


@service.in_slices("delete_for_task")
def delete_events(call: Call) -> bool:
    """Delete some events of the task."""
    return delete_some(call.db, [load_task(call.db, call.arguments.text("task"))["id"]])


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
    scroll = call.arguments.maybe_text("scroll_id") or ""
    timestamp, number = _position(scroll)
    parameters = list(values)
    if timestamp is not None:
        condition += f" AND (timestamp, number) {comparison} (?, ?)"
        parameters += [timestamp, number]
    rows = call.db.execute(
        f"SELECT timestamp, number, doc FROM events WHERE {condition}"
        f" ORDER BY timestamp {direction}, number {direction} LIMIT ?",
        (*parameters, _batch_size(call)),
    ).fetchall()
    events = [json.loads(row["doc"]) for row in rows]
    scroll = f"{rows[-1]['timestamp']}:{rows[-1]['number']}" if rows else scroll
    return {"returned": len(events), "total": total, "scroll_id": scroll, "events": events}


def _position(scroll: str) -> tuple[int | None, int]:
    timestamp, _, number = scroll.partition(":")
    digits = timestamp.removeprefix("-")
    if digits.isascii() and digits.isdigit() and number.isascii() and number.isdigit():
        return max(-LARGEST_INTEGER, min(int(timestamp[:20]), LARGEST_INTEGER)), int(number[:18])
    return None, 0


def _batch_size(call: Call) -> int:
    return min(max(call.arguments.integer("batch_size", BATCH), 1), LARGEST_BATCH)


def _count(call: Call, task: str, kind: str | None) -> int:
    sql = "SELECT total(stored) AS n FROM event_counts WHERE task = ? AND (? IS NULL OR type = ?)"
    return int(call.db.execute(sql, (task, kind, kind)).fetchone()["n"])
