"""Incoming events: every line is checked on its own, stored, and summarized in its task.

A task's ``last_metrics`` describes the stored series, in whatever order the reports arrive: a resumed run
sends iterations again, and a late report may belong before the last one.
"""

import math
import sqlite3
import sys
from collections import Counter
from typing import Any

from server import documents
from server.dispatch import Call
from server.documents import Document, milliseconds
from server.errors import ApiError, BadRequest
from server.requests import LARGEST_INTEGER, parse_object
from server.stores.events import SCALAR, TYPES, Event, extremes, metric_hash, store, stored_at
from server.stores.tasks import save_task

# Flags of the request that the clients put into every line.
FLAGS = ("allow_locked", "model_event", "method")
LOCKED = frozenset({"published", "publishing"})


class EventsNotAdded(BadRequest, subcode=131):
    """None of the request's events could be stored."""


def add_events(call: Call, lines: list[bytes]) -> Document:
    """Store the valid lines and count the others by error.

    Raises:
        EventsNotAdded: No line was valid.
    """
    writer = _Writer(call)
    for line in lines:
        writer.add(line)
    writer.finish()
    if writer.errors and not writer.added:
        raise EventsNotAdded(
            "Events not added: " + ", ".join(f"{text}={n}" for text, n in writer.errors.items())
        )
    return {"added": writer.added, "errors": writer.errors.total(), "errors_info": writer.errors}


class _Writer:
    """One request's events; each task is loaded once and saved once."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._tasks: dict[str, Document | None] = {}
        self.added = 0
        self.errors: Counter[str] = Counter()

    def add(self, line: bytes) -> None:
        try:
            document = parse_object(self._call.credentials.masked(line))
            event = read_event(document)
            task = self._task_of(event, document)
            if task is None:
                store(self._call.db, event)
            else:
                _store_and_summarize(self._call.db, task, event)
        except ApiError as error:
            self.errors[error.message] += 1
        else:
            self.added += 1

    def finish(self) -> None:
        for task in self._tasks.values():
            if task is not None:
                save_task(self._call.db, task, self._call.now)

    def _task_of(self, event: Event, document: Document) -> Document | None:
        """Return the task that the event belongs to; None for an event of a model."""
        if document.get("model_event") is True:
            if documents.find(self._call.db, "models", event.task) is None:
                raise EventsNotAdded(f"Invalid model id {event.task}")
            return None
        if event.task not in self._tasks:
            self._tasks[event.task] = documents.find(self._call.db, "tasks", event.task)
        task = self._tasks[event.task]
        if task is None:
            raise EventsNotAdded(f"Invalid task id {event.task}")
        if task["status"] in LOCKED and document.get("allow_locked") is not True:
            raise EventsNotAdded(f"Task {event.task} is {task['status']}")
        return task


def read_event(document: Document) -> Event:
    """Check a parsed line and return its event.

    Raises:
        EventsNotAdded: A field is missing or has the wrong type; equal mistakes get equal messages.
    """
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise EventsNotAdded(f"Invalid event type {kind!r:.60}")
    task = document.get("task")
    if not isinstance(task, str) or not task:
        raise EventsNotAdded("Event must have a 'task' field")
    value = _number(document, "value") if kind == SCALAR or document.get("value") is not None else None
    return Event(
        task=task,
        type=kind,
        metric=_text(document, "metric"),
        variant=_text(document, "variant"),
        iteration=_integer(document, "iter", 0),
        timestamp=_integer(document, "timestamp", milliseconds()),
        value=value,
        document={name: item for name, item in document.items() if name not in FLAGS},
    )


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise EventsNotAdded(f"Event field {name} must be a string")
    return value


def _integer(document: Document, name: str, default: int) -> int:
    value = document.get(name)
    if value is None:
        return default
    number = _number(document, name)
    if abs(number) > LARGEST_INTEGER:
        raise EventsNotAdded(f"Event field {name} is too large")
    return int(value)


def _number(document: Document, name: str) -> float:
    value: Any = document.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise EventsNotAdded(f"Event field {name} must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise EventsNotAdded(f"Event field {name} must be finite")
    return number


def _store_and_summarize(db: sqlite3.Connection, task: Document, event: Event) -> None:
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
        entry["mean_value"] = _moved(entry["mean_value"], value, entry["mean_value"], entry["count"])
    else:
        entry["mean_value"] = _moved(entry["mean_value"], value, replaced, entry["count"])
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


def _moved(mean: float, added: float, removed: float, count: int) -> float:
    """Return the mean of ``count`` values after ``added`` took the place of ``removed``."""
    moved = mean + (added - removed) / count
    if math.isfinite(moved):
        return moved
    # The difference of two huge numbers overflows; their shares do so only by rounding.
    moved = added if count == 1 else mean + (added / count - removed / count)
    return max(-sys.float_info.max, min(moved, sys.float_info.max))


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
