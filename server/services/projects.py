"""The projects service: create, find, change, move and delete projects."""

import json
import sqlite3

from server import documents
from server.answers import answer, fetch
from server.dispatch import Call, Service
from server.documents import ARCHIVED, Document, has_system_tag, save
from server.errors import BadRequest, InvalidArgument, NotUnique
from server.query import TAGS, translate
from server.services.tasks.removal import delete_task, file_urls
from server.stores.projects import (
    PROJECTS,
    ensure_project,
    load_project,
    rename,
    touch_project,
    tree,
    with_subprojects,
)

service = Service("projects")

FOUND = ("description", "search_hidden", "shallow_search", "include_subprojects", *PROJECTS.arguments)
INSIDE = "project IN (SELECT value FROM json_each(?))"
TEXTS = ("description", "default_output_destination")
REPORT = "report"
DAY = 24 * 3600


class ProjectNotEmpty(BadRequest, subcode=402):
    """A project with tasks is deleted only with ``force``."""


@service.writes("create", "name", *TEXTS, *TAGS)
def create(call: Call) -> Document:
    """Create a project and its parents; raises NotUnique if the name is taken."""
    name = call.arguments.text("name")
    if documents.named(call.db, "projects", name):
        raise NotUnique("name", name)
    project = ensure_project(call.db, name, call.now)
    project |= call.arguments.chosen(TEXTS, TAGS)
    save(call.db, "projects", project)
    return {"id": project["id"]}


@service.reads("get_by_id", "project")
def get_by_id(call: Call) -> Document:
    """Return one project, with the ids of its parents as ``path``."""
    return {"project": {**load_project(call.db, call.arguments.text("project")), "path": _path(call)}}


@service.reads("get_all", *FOUND)
def get_all(call: Call) -> Document:
    """Return the projects that match the filters; hidden ones only with ``search_hidden``."""
    page, scroll = _page(call)
    return answer(PROJECTS, call.arguments, page, scroll)


@service.reads("get_all_ex", "include_stats", "check_own_contents", *FOUND)
def get_all_ex(call: Call) -> Document:
    """Return the same as ``get_all``; ``include_stats`` adds what the project and those below it hold.

    ``check_own_contents`` adds the numbers of the project's own tasks and models.
    """
    page, scroll = _page(call)
    for project in page:
        project["hidden"] = "hidden" in project["system_tags"]
        if call.arguments.flag("include_stats"):
            project |= _statistics(call, project["id"])
        if call.arguments.flag("check_own_contents"):
            own = _inventory(call.db, [project["id"]])
            project |= {"own_tasks": own["tasks"], "own_models": own["models"]}
    fields = call.arguments.texts("only_fields")
    data = answer(PROJECTS, call.arguments, page, scroll)
    if fields and "*" not in fields:
        for project, chosen in zip(page, data["projects"], strict=True):
            chosen["hidden"] = project["hidden"]
    return data


@service.writes("update", "project", "name", *TEXTS, *TAGS)
def update(call: Call) -> Document:
    """Change a project's description, tags or name; a new name also renames the projects below."""
    project = load_project(call.db, call.arguments.text("project"))
    fields = call.arguments.chosen(TEXTS, TAGS)
    if "name" in call.arguments:
        name = call.arguments.text("name").strip("/")
        rename(call.db, project, name, call.now)
        fields["name"] = name
    project |= fields | {"last_update": call.now}
    save(call.db, "projects", project)
    return {"fields": fields, "updated": 1}


@service.writes("move", "project", "new_location")
def move(call: Call) -> Document:
    """Move a project and everything below it to ``new_location``."""
    project = load_project(call.db, call.arguments.text("project"))
    place = (call.arguments.maybe_text("new_location") or "").strip("/")
    name = f"{place}/{project['basename']}" if place else project["basename"]
    rename(call.db, project, name, call.now)
    save(call.db, "projects", project)
    return {"moved": 1}


@service.writes("merge", "project", "destination_project")
def merge(call: Call) -> Document:
    """Move what a project holds, and the projects below it, to another one; remove the project.

    Without ``destination_project`` the parent is meant.

    Raises:
        InvalidArgument: The destination is missing, is the project itself, or is below it.
        NotUnique: The destination has a project of the same name as one of the moved ones.
    """
    project = load_project(call.db, call.arguments.text("project"))
    wanted = call.arguments.maybe_text("destination_project") or project.get("parent")
    if not wanted or wanted in tree(call.db, project["id"]):
        raise InvalidArgument(
            "Validation error: destination_project must be a project outside the merged one"
        )
    target = load_project(call.db, wanted)
    moved = 0
    for table in ("tasks", "models"):
        for document in documents.where(call.db, table, "project = ?", (project["id"],)):
            save(call.db, table, document | {"project": target["id"]})
            moved += 1
    children = documents.where(call.db, "projects", "parent = ?", (project["id"],))
    for child in children:
        rename(call.db, child, f"{target['name']}/{child['basename']}", call.now)
    documents.delete(call.db, "projects", project["id"])
    touch_project(call.db, target["id"], call.now)
    return {"moved_entities": moved, "moved_projects": len(children)}


@service.reads("validate_delete", "project")
def validate_delete(call: Call) -> Document:
    """Count the pipelines, datasets, tasks, reports and models that deleting the project would affect."""
    project = load_project(call.db, call.arguments.text("project"))
    return _inventory(call.db, tree(call.db, project["id"]))


@service.writes("delete", "project", "force", "delete_contents")
def delete(call: Call) -> Document:
    """Delete a project and those below; their tasks and models only with ``delete_contents``."""
    project = load_project(call.db, call.arguments.text("project"))
    ids = tree(call.db, project["id"])
    contents = _inventory(call.db, ids)
    if contents["non_archived_tasks"] and not call.arguments.flag("force"):
        raise ProjectNotEmpty(
            f"Project has associated non-archived tasks: id={project['id']}, use force=true to delete"
        )
    urls: Document = {"model_urls": [], "event_urls": [], "artifact_urls": []}
    if call.arguments.flag("delete_contents"):
        urls = _delete_contents(call, ids)
    else:
        _detach_contents(call.db, ids)
    for project_id in ids:
        documents.delete(call.db, "projects", project_id)
    tasks = contents["tasks"] + contents["reports"]
    whole = call.arguments.flag("delete_contents")
    return {
        "deleted": len(ids),
        "disassociated_tasks": 0 if whole else tasks,
        "deleted_tasks": tasks if whole else 0,
        "deleted_models": contents["models"] if whole else 0,
        "urls": urls,
    }


def _path(call: Call) -> list[str]:
    parts = load_project(call.db, call.arguments.text("project"))["name"].split("/")
    above = [documents.named(call.db, "projects", "/".join(parts[:depth])) for depth in range(1, len(parts))]
    return [project["id"] for project in above if project]


def _page(call: Call) -> tuple[list[Document], str | None]:
    query = translate(PROJECTS, with_subprojects(call.db, call.arguments, "parent"))
    if "description" in call.arguments:
        query.add_pattern(PROJECTS, "description", call.arguments.text("description"))
    if not call.arguments.flag("search_hidden") and "id" not in call.arguments:
        query.add(f"NOT {has_system_tag('hidden')}")
    if call.arguments.flag("shallow_search") and "parent" not in call.arguments:
        query.add("parent IS NULL")
    return fetch(call.db, PROJECTS, call.arguments, query)


def _inventory(db: sqlite3.Connection, projects: list[str]) -> dict[str, int]:
    """Count what the projects hold: tasks, reports and models, in total and not archived."""
    ids = json.dumps(projects)
    counts: dict[str, int] = {}
    for name, table, kind in (
        ("tasks", "tasks", f"type <> '{REPORT}'"),
        ("reports", "tasks", f"type = '{REPORT}'"),
        ("models", "models", "1"),
    ):
        sql = f"SELECT count(*) AS n, coalesce(sum(NOT {ARCHIVED}), 0) AS alive FROM {table}"
        row = db.execute(f"{sql} WHERE {INSIDE} AND {kind}", (ids,)).fetchone()
        counts |= {name: row["n"], f"non_archived_{name}": row["alive"]}
    for name, tag in (("pipelines", "pipeline"), ("datasets", "dataset")):
        sql = "SELECT count(*) FROM projects WHERE id IN (SELECT value FROM json_each(?))"
        counts[name] = db.execute(f"{sql} AND {has_system_tag(tag)}", (ids,)).fetchone()[0]
    return counts


def _statistics(call: Call, project: str) -> Document:
    """Return the statistics of the tasks, not archived, in the project and below, and the projects below."""
    ids = tree(call.db, project)
    rows = call.db.execute(
        "SELECT status, count(*) AS n, sum(json_extract(doc, '$.active_duration')) AS runtime,"
        " max(json_extract(doc, '$.started')) AS started,"
        " sum(status = 'completed' AND json_extract(doc, '$.completed') > ?) AS recent"
        f" FROM tasks WHERE {INSIDE} AND NOT {ARCHIVED} GROUP BY status",
        (documents.seconds_before(call.now, DAY), json.dumps(ids)),
    ).fetchall()
    active = {
        "status_count": {row["status"]: row["n"] for row in rows},
        "total_tasks": sum(row["n"] for row in rows),
        "total_runtime": sum(row["runtime"] or 0 for row in rows),
        "completed_tasks_24h": sum(row["recent"] or 0 for row in rows),
        "last_task_run": max((row["started"] for row in rows if row["started"]), default=None),
    }
    below = documents.names(call.db, "projects", ids[1:])
    names = sorted(below.items(), key=lambda item: item[1])
    return {"stats": {"active": active}, "sub_projects": [{"id": key, "name": name} for key, name in names]}


def _delete_contents(call: Call, projects: list[str]) -> Document:
    """Delete the tasks and models of the projects; return the URLs of the files that they leave."""
    ids = (json.dumps(projects),)
    tasks = documents.where(call.db, "tasks", INSIDE, ids)
    models = documents.where(call.db, "models", INSIDE, ids)
    urls = file_urls(call.db, tasks)
    urls["model_urls"] = sorted(
        {*urls["model_urls"], *(model["uri"] for model in models if model.get("uri"))}
    )
    for task in tasks:
        delete_task(call.db, task)
    for model in models:
        documents.delete(call.db, "models", model["id"])
    return urls


def _detach_contents(db: sqlite3.Connection, projects: list[str]) -> None:
    """Detach the tasks and models from their projects."""
    for table in ("tasks", "models"):
        for document in documents.where(db, table, INSIDE, (json.dumps(projects),)):
            document.pop("project", None)
            save(db, table, document)
