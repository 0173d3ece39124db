"""Why a step ran: what differs from the last time that a step of this name completed."""

import json
import sqlite3
from typing import Any

from server.documents import Document
from server.web.nodes import Node
from server.web.text import shorten

SHOWN = 4
LONGEST = 28


def why(db: sqlite3.Connection, node: Node) -> str:
    """One line: the same as before, the first of its name, or what changed; empty before the step exists."""
    if not node.task:
        return ""
    if node.status == "cached":
        return "same inputs and code as before"
    before = _before(db, node.task)
    if before is None:
        return "first run of this step"
    changes = _changes(_parameters(db, node.task["id"]), _parameters(db, before))
    more = [f"and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []
    return "; ".join([*changes[:SHOWN], *more]) or "asked for, or its earlier result was gone"


def _before(db: sqlite3.Connection, task: Document) -> str | None:
    """The last task of the same name and project that had completed when ``task`` was made."""
    row = db.execute(
        "SELECT id FROM tasks WHERE name = ? AND project IS ? AND status IN ('completed', 'published')"
        " AND id <> ? AND json_extract(doc, '$.created') < ?"
        " ORDER BY json_extract(doc, '$.created') DESC LIMIT 1",
        (task["name"], task["project"], task["id"], task["created"]),
    ).fetchone()
    return str(row["id"]) if row else None


def _parameters(db: sqlite3.Connection, task_id: str) -> dict[str, str]:
    """The parameters that went in, a JSON object among them spread out."""
    row = db.execute(
        "SELECT json_extract(doc, '$.hyperparams') AS sections FROM tasks WHERE id = ?", (task_id,)
    )
    sections: dict[str, Any] = json.loads(row.fetchone()["sections"] or "{}")
    values: dict[str, str] = {}
    for section in sections.keys() - {"return", "properties", "Datasets"}:
        for name, item in sections[section].items():
            values |= spread(name, str(item.get("value", "")))
    return values


def spread(name: str, value: str) -> dict[str, str]:
    """A parameter, or where it is a JSON object each of its items."""
    try:
        inner = json.loads(value) if value.startswith("{") else None
    except (ValueError, RecursionError):
        inner = None
    if isinstance(inner, dict):
        return {str(key): json.dumps(item) for key, item in inner.items()}
    return {name: value}


def _changes(now: dict[str, str], then: dict[str, str]) -> list[str]:
    return [
        _change(name, then.get(name), now.get(name))
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]


def _change(name: str, then: str | None, now: str | None) -> str:
    if name == "code_version":
        return "its code changed"
    if name.endswith(("_id", "_hash")) or name == "candidates":
        return f"{name} is another"
    return f"{name} {_short(then)} → {_short(now)}"


def _short(value: str | None) -> str:
    return shorten(value or "none", LONGEST)
