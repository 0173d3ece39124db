"""Facets."""

import json

from server.dispatch import Call, Service
from server.documents import Document
from server.stores.events import metric_hash
from server.stores.projects import tree

service = Service("projects")
organization = Service("organization")

CHOSEN = "(? OR project IN (SELECT value FROM json_each(?)))"
LARGEST_PAGE = 500


@service.reads("get_unique_metric_variants")
def get_unique_metric_variants(call: Call) -> Document:
    """The metrics and variants that any task of the project reported."""
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
    """The names of the hyperparameters in the project, by section, page by page."""
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
    """Every value that a hyperparameter has in the projects."""
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
    """The tags in use on tasks, in all projects or in those named."""
    return tags_of(call, "tasks", call.arguments.texts("projects"))


@service.reads("get_model_tags")
def get_model_tags(call: Call) -> Document:
    """The tags in use on models, in all projects or in those named."""
    return tags_of(call, "models", call.arguments.texts("projects"))


@service.reads("get_project_tags")
def get_project_tags(call: Call) -> Document:
    """The tags in use on projects."""
    return tags_of(call, "projects", [])


@service.reads("get_task_parents")
def get_task_parents(call: Call) -> Document:
    """The tasks that are the parent of another one in the projects."""
    rows = call.db.execute(
        "SELECT id, name, project FROM tasks WHERE id IN"
        f" (SELECT parent FROM tasks WHERE {CHOSEN} AND parent IS NOT NULL) ORDER BY name",
        _chosen(call, "projects"),
    )
    return {"parents": [{**dict(row), "project": {"id": row["project"]}} for row in rows]}


def tags_of(call: Call, table: str, projects: list[str]) -> dict[str, list[str]]:
    """The tags in use among the documents of ``table``, one of a fixed set of names."""
    condition, values = (
        ("1", ())
        if not projects
        else ("project IN (SELECT value FROM json_each(?))", (json.dumps(projects),))
    )
    found: dict[str, list[str]] = {}
    for name in ("tags", "system_tags") if call.arguments.flag("include_system") else ("tags",):
        source = f"{table}, json_each(doc, '$.{name}') AS tag"
        rows = call.db.execute(
            f"SELECT DISTINCT tag.value AS tag FROM {source} WHERE {condition} ORDER BY 1", values
        )
        found[name] = [row["tag"] for row in rows if isinstance(row["tag"], str)]
    return found


def _chosen(call: Call, argument: str) -> tuple[bool, str]:
    """The values for CHOSEN: all projects where none is named."""
    named = call.arguments.texts(argument)
    chosen = named
    if call.arguments.flag("include_subprojects", True):
        chosen = [project for root in named for project in tree(call.db, root)]
    return not named, json.dumps(chosen)


@organization.reads("get_tags")
def get_tags(call: Call) -> Document:
    """Every tag in use on tasks, models, projects and queues."""
    tags = [tags_of(call, table, []) for table in ("tasks", "models", "projects", "queues")]
    names = {name for found in tags for name in found}
    return {name: sorted({tag for found in tags for tag in found.get(name, [])}) for name in sorted(names)}
