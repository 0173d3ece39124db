"""How the pages write numbers, sizes, times and links."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from server import documents
from server.documents import Document

LINKED_SCHEMES = frozenset({"http", "https"})


def link(uri: object) -> str | None:
    """``uri`` if a browser may follow it: a task can hold any text there, javascript: too."""
    try:
        return uri if isinstance(uri, str) and urlsplit(uri).scheme in LINKED_SCHEMES else None
    except ValueError:
        return None


def size(count: object) -> str:
    """Bytes as ``12.3 kB``; empty for what is no count."""
    if not isinstance(count, (int, float)) or isinstance(count, bool):
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def number(value: object) -> str:
    """Six significant digits, and text as it is."""
    return f"{value:.6g}" if isinstance(value, (int, float)) else "" if value is None else str(value)


def score(value: object) -> str:
    """A metric between 0 and 1 with four digits; anything that is no number as it is."""
    try:
        return f"{float(value):.4f}"  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "" if value is None else str(value)


def moment(timestamp: object) -> str:
    """A timestamp to the second, in UTC."""
    parsed = parsed_time(timestamp)
    return parsed.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if parsed else ""


def epoch(timestamp: object) -> int:
    """Whole seconds since 1970; 0 for no time."""
    parsed = parsed_time(timestamp)
    return int(parsed.timestamp()) if parsed else 0


def parsed_time(timestamp: object) -> datetime | None:
    """A stored timestamp as a time, or None for what is none."""
    if not isinstance(timestamp, str):
        return None
    try:
        return documents.parse_time(timestamp)
    except ValueError:
        return None


def span(seconds: float) -> str:
    """A duration as ``42 s``, ``2:55`` minutes, or ``1:02:03`` hours."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    text = str(timedelta(seconds=whole))
    return text.removeprefix("0:").removeprefix("0") if whole < 3600 else text


def seconds(task: Document) -> float | None:
    """How long the task ran, or has run so far; None if it never started."""
    started = parsed_time(task.get("started"))
    if started is None:
        return None
    ended = (
        None
        if task["status"] == "in_progress"
        else parsed_time(task.get("completed") or task.get("last_update"))
    )
    return max(0.0, ((ended or datetime.now(UTC)) - started).total_seconds())


def shorten(text: str, longest: int) -> str:
    """At most `longest` characters of `text`, an ellipsis at the end of what was cut."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts as people count: ``metric 2`` before ``metric 10``."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(at % 2 == 0, 0 if at % 2 == 0 else int(part), part) for at, part in enumerate(parts)]


def task_path(task: Document | Any) -> str:
    """The page of a task, or of a run where the task is a pipeline's controller."""
    room = "pipelines" if task.get("type") == "controller" else "projects"
    return f"/{room}/{quote(task.get('project') or '*', safe='*')}/experiments/{quote(task['id'])}"
