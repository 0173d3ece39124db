"""The projects service: projects, and the values to filter by within them; tags of the organization."""

import json
import sqlite3

from server import documents
from server.answers import answer, fetch
from server.dispatch import Call, Service
from server.documents import ARCHIVED, Document, has_system_tag, save
from server.errors import BadRequest, NotUnique
from server.query import translate
from server.services.tasks.removal import delete_task
from server.stores.events import metric_hash
from server.stores.projects import PROJECTS, ensure_project, load_project, rename, tree

service = Service("projects")
organization = Service("organization")

INSIDE = "project IN (SELECT value FROM json_each(?))"
CHOSEN = f"(? OR {INSIDE})"
TEXTS = ("description", "default_output_destination")
TAGS = ("tags", "system_tags")
LARGEST_PAGE = 500


class ProjectNotEmpty(BadRequest, subcode=402):
    """A project with tasks is deleted only with ``force``."""


@service.writes("create")
def create(call: Call) -> Document:
    """Create a project and its parents; raises NotUnique if the name is taken."""
    name = call.arguments.text("name")
    if documents.named(call.db, "projects", name):
        raise NotUnique("name", name)
    project = ensure_project(call.db, name, call.now)
    project |= call.arguments.chosen(TEXTS, TAGS)
    save(call.db, "projects", project)
    return {"id": project["id"]}


@service.reads("get_by_id")
def get_by_id(call: Call) -> Document:
    """Return one project, with the ids of its parents as ``path``."""
    return {"project": {**load_project(call.db, call.arguments.text("project")), "path": _path(call)}}


@service.reads("get_all")
def get_all(call: Call) -> Document:
    """Return the projects that match the filters; hidden ones only with ``search_hidden``."""
    page, scroll = _page(call)
    return answer(PROJECTS, call.arguments, page, scroll)


@service.reads("get_all_ex")
def get_all_ex(call: Call) -> Document:
    """Return the same as ``get_all``; ``include_stats`` adds the number of tasks by status."""
    page, scroll = _page(call)
    for project in page:
        project["hidden"] = "hidden" in project["system_tags"]
        if call.arguments.flag("include_stats"):
            project["stats"] = {"active": _statistics(call.db, project["id"])}
    fields = call.arguments.texts("only_fields")
    data = answer(PROJECTS, call.arguments, page, scroll)
    if fields and "*" not in fields:
        for project, chosen in zip(page, data["projects"], strict=True):
            chosen["hidden"] = project["hidden"]
    return data


@service.writes("update")
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


@service.writes("move")
def move(call: Call) -> Document:
    """Move a project and everything below it to ``new_location``."""
    project = load_project(call.db, call.arguments.text("project"))
    place = (call.arguments.maybe_text("new_location") or "").strip("/")
    name = f"{place}/{project['basename']}" if place else project["basename"]
    rename(call.db, project, name, call.now)
    save(call.db, "projects", project)
    return {"moved": 1}


@service.reads("validate_delete")
def validate_delete(call: Call) -> Document:
    """Count the tasks and models that deleting the project would affect."""
    project = load_project(call.db, call.arguments.text("project"))
    return _inventory(call.db, tree(call.db, project["id"]))


@service.writes("delete")
def delete(call: Call) -> Document:
    """Delete a project and those below; their tasks and models only with ``delete_contents``."""
    project = load_project(call.db, call.arguments.text("project"))
    ids = tree(call.db, project["id"])
    contents = _inventory(call.db, ids)
    if contents["non_archived_tasks"] and not call.arguments.flag("force"):
        raise ProjectNotEmpty(
            f"Project has associated non-archived tasks: id={project['id']}, use force=true to delete"
        )
    if call.arguments.flag("delete_contents"):
        _delete_contents(call, ids)
    else:
        _detach_contents(call.db, ids)
    for project_id in ids:
        documents.delete(call.db, "projects", project_id)
    deleted = contents["tasks"] if call.arguments.flag("delete_contents") else 0
    return {
        "deleted": len(ids),
        "disassociated_tasks": contents["tasks"] - deleted,
        "deleted_tasks": deleted,
        "deleted_models": 0,
        "urls": {"model_urls": [], "event_urls": [], "artifact_urls": []},
    }


@service.reads("get_unique_metric_variants")
def get_unique_metric_variants(call: Call) -> Document:
    """Return the metrics and variants that the project's tasks reported."""
    rows = call.db.execute(
        "SELECT DISTINCT json_extract(variant.value, '$.metric') AS metric,"
        " json_extract(variant.value, '$.variant') AS variant"
        " FROM tasks, json_each(doc, '$.last_metrics') AS metric, json_each(metric.value) AS variant"
        f" WHERE {CHOSEN} ORDER BY 1, 2",
        _chosen(call, "project"),
    )
    return {
        "metrics": [
            {
                "metric": row["metric"],
                "metric_hash": metric_hash(row["metric"]),
                "variant": row["variant"],
                "variant_hash": metric_hash(row["variant"]),
            }
            for row in rows
        ]
    }


@service.reads("get_hyper_parameters")
def get_hyper_parameters(call: Call) -> Document:
    """Return a page of the names of hyperparameters in the project, by section."""
    rows = call.db.execute(
        "SELECT DISTINCT section.key AS section, item.key AS name"
        " FROM tasks, json_each(doc, '$.hyperparams') AS section, json_each(section.value) AS item"
        f" WHERE {CHOSEN} ORDER BY 1, 2",
        _chosen(call, "project"),
    ).fetchall()
    size = min(max(call.arguments.integer("page_size", LARGEST_PAGE), 1), LARGEST_PAGE)
    start = size * max(call.arguments.integer("page", 0), 0)
    page = [dict(row) for row in rows[start : start + size]]
    return {"parameters": page, "total": len(rows), "remaining": max(0, len(rows) - start - size)}


@service.reads("get_hyperparam_values")
def get_hyperparam_values(call: Call) -> Document:
    """Return all values of a hyperparameter in the projects."""
    section, name = call.arguments.text("section"), call.arguments.text("name")
    rows = call.db.execute(
        "SELECT DISTINCT json_extract(item.value, '$.value') AS value"
        " FROM tasks, json_each(doc, '$.hyperparams') AS section, json_each(section.value) AS item"
        f" WHERE {CHOSEN} AND section.key = ? AND item.key = ? ORDER BY 1",
        (*_chosen(call, "projects"), section, name),
    )
    values = [row["value"] for row in rows]
    return {"values": values, "total": len(values)}


@service.reads("get_task_tags")
def get_task_tags(call: Call) -> Document:
    """Return the tags of tasks, in all projects or the named ones."""
    return _tags(call, "tasks", call.arguments.texts("projects"))


@service.reads("get_model_tags")
def get_model_tags(call: Call) -> Document:
    """Return the tags of models, in all projects or the named ones."""
    return _tags(call, "models", call.arguments.texts("projects"))


@service.reads("get_project_tags")
def get_project_tags(call: Call) -> Document:
    """Return the tags of projects."""
    return _tags(call, "projects", [])


@service.reads("get_task_parents")
def get_task_parents(call: Call) -> Document:
    """Return the tasks that are parents of tasks in the projects."""
    rows = call.db.execute(
        "SELECT id, name, project FROM tasks WHERE id IN"
        f" (SELECT parent FROM tasks WHERE {CHOSEN} AND parent IS NOT NULL) ORDER BY name",
        _chosen(call, "projects"),
    )
    return {"parents": [{**dict(row), "project": {"id": row["project"]}} for row in rows]}


@organization.reads("get_tags")
def get_tags(call: Call) -> Document:
    """Return all tags of tasks, models, projects and queues."""
    tags = [_tags(call, table, []) for table in ("tasks", "models", "projects", "queues")]
    names = {name for kinds in tags for name in kinds}
    return {name: sorted({tag for kinds in tags for tag in kinds.get(name, [])}) for name in sorted(names)}


def _path(call: Call) -> list[str]:
    parts = load_project(call.db, call.arguments.text("project"))["name"].split("/")
    above = [documents.named(call.db, "projects", "/".join(parts[:depth])) for depth in range(1, len(parts))]
    return [project["id"] for project in above if project]


def _page(call: Call) -> tuple[list[Document], str | None]:
    query = translate(PROJECTS, call.arguments)
    if not call.arguments.flag("search_hidden") and "id" not in call.arguments:
        query.add(f"NOT {has_system_tag('hidden')}")
    if call.arguments.flag("shallow_search"):
        query.add("parent IS NULL")
    return fetch(call.db, PROJECTS, call.arguments, query)


def _inventory(db: sqlite3.Connection, projects: list[str]) -> dict[str, int]:
    """Count the tasks and models in the projects, in total and not archived."""
    ids = json.dumps(projects)
    counts: dict[str, int] = {}
    for table in ("tasks", "models"):
        sql = f"SELECT count(*) AS n, coalesce(sum(NOT {ARCHIVED}), 0) AS alive FROM {table} WHERE {INSIDE}"
        row = db.execute(sql, (ids,)).fetchone()
        counts |= {table: row["n"], f"non_archived_{table}": row["alive"]}
    return counts


def _statistics(db: sqlite3.Connection, project: str) -> Document:
    """Count the tasks that are not archived by status."""
    sql = f"SELECT status, count(*) AS n FROM tasks WHERE project = ? AND NOT {ARCHIVED} GROUP BY status"
    counts = {row["status"]: row["n"] for row in db.execute(sql, (project,))}
    return {"status_count": counts, "total_tasks": sum(counts.values())}


def _delete_contents(call: Call, projects: list[str]) -> None:
    """Delete the tasks and models of the projects."""
    ids = (json.dumps(projects),)
    for task in documents.where(call.db, "tasks", INSIDE, ids):
        delete_task(call.db, task)
    for model in documents.where(call.db, "models", INSIDE, ids):
        documents.delete(call.db, "models", model["id"])


def _detach_contents(db: sqlite3.Connection, projects: list[str]) -> None:
    """Detach the tasks and models from their projects."""
    for table in ("tasks", "models"):
        for document in documents.where(db, table, INSIDE, (json.dumps(projects),)):
            document.pop("project", None)
            save(db, table, document)


def _tags(call: Call, table: str, projects: list[str]) -> dict[str, list[str]]:
    """Return the tags of the documents of ``table``, a name from this package."""
    tags: dict[str, list[str]] = {}
    condition, values = (INSIDE, [json.dumps(projects)]) if projects else ("1", [])
    for name in TAGS if call.arguments.flag("include_system") else TAGS[:1]:
        sql = f"SELECT DISTINCT tag.value AS tag FROM {table}, json_each(doc, '$.{name}') AS tag"
        rows = call.db.execute(f"{sql} WHERE {condition} ORDER BY 1", values)
        tags[name] = [row["tag"] for row in rows if isinstance(row["tag"], str)]
    return tags


def _chosen(call: Call, argument: str) -> tuple[bool, str]:
    """Return the values for CHOSEN: all projects if none is named."""
    named = call.arguments.texts(argument)
    chosen = named
    if call.arguments.flag("include_subprojects", True):
        chosen = [project for root in named for project in tree(call.db, root)]
    return not named, json.dumps(chosen)
