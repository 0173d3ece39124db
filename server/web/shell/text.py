"""Text: how the pages write numbers, sizes, times and links."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from server import documents
from server.documents import Document
from server.files.tree import Tree

LINKED_SCHEMES = frozenset({"http", "https"})
MAX_BYTES = 1e30


def link(uri: object) -> str | None:
    """Return `uri` if a browser may follow it: a task can hold any text there, also javascript:."""
    try:
        return uri if isinstance(uri, str) and urlsplit(uri).scheme in LINKED_SCHEMES else None
    except ValueError:
        return None


def address(files: Tree, uri: object) -> str | None:
    """Return where the page finds `uri`: a stored file under its own address, else what `link` returns.

    So the session's cookie never travels to the file server's port.
    """
    followed = link(uri)
    if followed is None or files.find(followed) is None:
        return followed
    return f"/files{quote(unquote(urlsplit(followed).path))}"


def size(count: object) -> str:
    """Format bytes as `12.3 kB`; return an empty string if `count` is no plausible number."""
    if not isinstance(count, (int, float)) or isinstance(count, bool) or not abs(count) < MAX_BYTES:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:z.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def number(value: object) -> str:
    """Format a number to six significant digits, zero never as `-0`; return text as it is."""
    if not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    try:
        return f"{value:z.6g}"
    except OverflowError:  # JSON knows integers that no float can hold
        return str(value)


def moment(timestamp: object) -> str:
    """Format a timestamp to the second, in UTC."""
    parsed = parsed_time(timestamp)
    return parsed.strftime("%Y-%m-%d %H:%M:%S") if parsed else ""


def epoch(timestamp: object) -> int:
    """Return whole seconds since 1970, or 0 if `timestamp` is no time."""
    parsed = parsed_time(timestamp)
    return int(parsed.timestamp()) if parsed else 0


def parsed_time(timestamp: object) -> datetime | None:
    """Return a stored timestamp as a time in UTC, or None if it is no time."""
    if not isinstance(timestamp, str):
        return None
    try:
        return documents.parse_time(timestamp).astimezone(UTC)
    except (ValueError, OverflowError):  # the first and the last day of the calendar may have no UTC time
        return None


def span(seconds: float) -> str:
    """Format a duration as `42 s`, `2:55` minutes, or `1:02:03` hours."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    text = str(timedelta(seconds=whole))
    return text.removeprefix("0:").removeprefix("0") if whole < 3600 else text


def seconds(task: Document) -> float | None:
    """Return how long the task ran, or has run so far; None if it never started."""
    started = parsed_time(task.get("started"))
    if started is None:
        return None
    running = task["status"] == "in_progress"
    ended = None if running else parsed_time(task.get("completed") or task.get("last_update"))
    return max(0.0, ((ended or datetime.now(UTC)) - started).total_seconds())


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that counts as people do: `metric 2` before `metric 10`."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(at % 2 == 0, 0 if at % 2 == 0 else int(part), part) for at, part in enumerate(parts)]


def task_path(task: Document | Any) -> str:
    """Return the address of a task, or of a run if the task is a pipeline's controller."""
    room = "pipelines" if task.get("type") == "controller" else "projects"
    return f"/{room}/{quote(task.get('project') or '*', safe='*')}/experiments/{quote(task['id'])}"
