"""The list of tasks, of all projects or of one."""

from server import documents
from server.stores.projects import tree
from server.stores.tasks import STATUSES
from server.web.runs import runs
from server.web.shell.section import Shown, Visit

PAGE = 50
CHOICES = ("in_progress", "queued", "completed", "failed", "stopped", "published", "created")


def page(visit: Visit) -> Shown:
    """The tasks of a project, or all: by name and by status."""
    project = visit.path.get("project", "*")
    status = visit.query.get("status", "")
    wanted, start = visit.query.get("q", ""), visit.integer("from")
    conditions, values = (
        [f"{runs.ARCHIVED} = ?", "instr(lower(name), lower(?))"],
        [visit.query.get("archived") == "1", wanted],
    )
    title = "Tasks"
    if project != "*":
        title = visit.document("projects", project, "project")["name"]
        below = tree(visit.db, project)
        conditions.append(f"project IN ({', '.join('?' * len(below))})")
        values += below
    if status in STATUSES:
        conditions.append("status = ?")
        values.append(status)
    columns = ", ".join(f"json_extract(doc, '$.{name}') AS {name}" for name in (*runs.FIELDS, "last_worker"))
    rows = visit.db.execute(
        f"SELECT {columns} FROM tasks WHERE {' AND '.join(conditions)} ORDER BY rowid DESC LIMIT ? OFFSET ?",
        (*values, PAGE + 1, start),
    ).fetchall()
    found = [dict(row) for row in rows]
    names = documents.names(visit.db, "projects", [task["project"] for task in found if task["project"]])
    shown = {
        "tasks": found[:PAGE],
        "names": names,
        "title": title,
        "project": project,
        "wanted": wanted,
        "status": status,
        "choices": CHOICES,
        "archived": visit.query.get("archived") == "1",
        "older": start + PAGE if len(found) > PAGE else None,
        "newer": max(start - PAGE, 0) if start else None,
    }
    return Shown("tasks.html", shown)
