"""What a project holds: counted, deleted, or set free when the project goes."""

import json
import sqlite3

from server import documents
from server.dispatch import Call
from server.documents import Document, save
from server.services.tasks.removal import delete_task

INSIDE = "project IN (SELECT value FROM json_each(?))"
ARCHIVED = "EXISTS (SELECT 1 FROM json_each(doc, '$.system_tags') WHERE value = 'archived')"


def inventory(db: sqlite3.Connection, projects: list[str]) -> dict[str, int]:
    """How many tasks and models are in the projects, and how many of those are not archived."""
    ids = json.dumps(projects)
    counts: dict[str, int] = {}
    for table in ("tasks", "models"):
        sql = f"SELECT count(*) AS n, coalesce(sum(NOT {ARCHIVED}), 0) AS alive FROM {table} WHERE {INSIDE}"
        row = db.execute(sql, (ids,)).fetchone()
        counts |= {table: row["n"], f"non_archived_{table}": row["alive"]}
    return counts


def statistics(db: sqlite3.Connection, project: str) -> Document:
    """status -> number of tasks that are not archived."""
    sql = f"SELECT status, count(*) AS n FROM tasks WHERE project = ? AND NOT {ARCHIVED} GROUP BY status"
    counts = {row["status"]: row["n"] for row in db.execute(sql, (project,))}
    return {"status_count": counts, "total_tasks": sum(counts.values())}


def delete(call: Call, projects: list[str]) -> None:
    """Delete the tasks and models of the projects."""
    ids = (json.dumps(projects),)
    for task in documents.where(call.db, "tasks", INSIDE, ids):
        delete_task(call.db, task)
    for model in documents.where(call.db, "models", INSIDE, ids):
        documents.delete(call.db, "models", model["id"])


def disown(db: sqlite3.Connection, projects: list[str]) -> None:
    """Leave the tasks and models without a project."""
    for table in ("tasks", "models"):
        for document in documents.where(db, table, INSIDE, (json.dumps(projects),)):
            document.pop("project", None)
            save(db, table, document)
