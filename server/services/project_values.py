"""Calls that list the values to filter by: metrics, hyperparameters, tags and parents in projects."""

import json
from typing import Any

from server.dispatch import Call, Service
from server.documents import ARCHIVED, IS_PUBLIC, Document
from server.errors import InvalidArgument
from server.list_filters import Field, list_condition
from server.query import TAGS, Query
from server.requests import Arguments
from server.stores.events import metric_hash
from server.stores.projects import tree

service = Service("projects")
organization = Service("organization")

TAGGED = ("filter", "include_system")
CHOSEN = "(? OR project IN (SELECT value FROM json_each(?)))"
STATES = {"all": "1", "active": f"NOT {ARCHIVED}", "archived": ARCHIVED}
LARGEST_PAGE = 500


@service.reads("get_unique_metric_variants", "project", "include_subprojects")
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


@service.reads("get_hyper_parameters", "project", "include_subprojects", "page", "page_size")
def get_hyper_parameters(call: Call) -> Document:
    """Return a page of the names of hyperparameters in the project, by section."""
    rows = call.db.execute(
        "SELECT DISTINCT section.key AS section, item.key AS name"
        " FROM tasks, json_each(doc, '$.hyperparams') AS section, json_each(section.value) AS item"
        f" WHERE {CHOSEN} ORDER BY 1, 2",
        _chosen(call, "project"),
    )
    return _paged(call, "parameters", [dict(row) for row in rows])


@service.reads("get_hyperparam_values", "projects", "section", "name", "include_subprojects", "allow_public")
def get_hyperparam_values(call: Call) -> Document:
    """Return all values of a hyperparameter in the projects."""
    section, name = call.arguments.text("section"), call.arguments.text("name")
    rows = call.db.execute(
        "SELECT DISTINCT json_extract(item.value, '$.value') AS value"
        " FROM tasks, json_each(doc, '$.hyperparams') AS section, json_each(section.value) AS item"
        f" WHERE {CHOSEN} AND {_owned(call)} AND section.key = ? AND item.key = ? ORDER BY 1",
        (*_chosen(call, "projects"), section, name),
    )
    values = [row["value"] for row in rows]
    return {"values": values, "total": len(values)}


@service.reads("get_model_metadata_keys", "project", "include_subprojects", "page", "page_size")
def get_model_metadata_keys(call: Call) -> Document:
    """Return a page of the keys of the metadata of models in the project."""
    rows = call.db.execute(
        "SELECT DISTINCT item.key AS key FROM models, json_each(doc, '$.metadata') AS item"
        f" WHERE {CHOSEN} ORDER BY 1",
        _chosen(call, "project"),
    )
    return _paged(call, "keys", [row["key"] for row in rows])


@service.reads("get_model_metadata_values", "projects", "key", "include_subprojects", "allow_public")
def get_model_metadata_values(call: Call) -> Document:
    """Return all values of one key of the metadata of models in the projects."""
    rows = call.db.execute(
        "SELECT DISTINCT json_extract(item.value, '$.value') AS value"
        " FROM models, json_each(doc, '$.metadata') AS item"
        f" WHERE {CHOSEN} AND {_owned(call)} AND item.key = ? ORDER BY 1",
        (*_chosen(call, "projects"), call.arguments.text("key")),
    )
    values = [row["value"] for row in rows]
    return {"values": values, "total": len(values)}


@service.reads("get_task_tags", "projects", *TAGGED)
def get_task_tags(call: Call) -> Document:
    """Return the tags of tasks, in all projects or the named ones."""
    return _tags(call, "tasks", call.arguments.texts("projects"))


@service.reads("get_model_tags", "projects", *TAGGED)
def get_model_tags(call: Call) -> Document:
    """Return the tags of models, in all projects or the named ones."""
    return _tags(call, "models", call.arguments.texts("projects"))


@service.reads("get_project_tags", "projects", *TAGGED)
def get_project_tags(call: Call) -> Document:
    """Return the tags of projects, all or the named ones."""
    return _tags(call, "projects", call.arguments.texts("projects"))


@service.reads("get_task_parents", "projects", "tasks_state", "include_subprojects")
def get_task_parents(call: Call) -> Document:
    """Return the tasks that are parents of tasks in the projects, active, archived or both."""
    state = call.arguments.choice("tasks_state", STATES, "all")
    rows = call.db.execute(
        "SELECT id, name, project FROM tasks WHERE id IN"
        f" (SELECT parent FROM tasks WHERE {CHOSEN} AND {STATES[state]}) ORDER BY name",
        _chosen(call, "projects"),
    )
    return {"parents": [{**dict(row), "project": {"id": row["project"]}} for row in rows]}


@organization.reads("get_tags", *TAGGED)
def get_tags(call: Call) -> Document:
    """Return all tags of tasks, models, projects and queues."""
    tags = [_tags(call, table, []) for table in ("tasks", "models", "projects", "queues")]
    names = {name for kinds in tags for name in kinds}
    return {name: sorted({tag for kinds in tags for tag in kinds.get(name, [])}) for name in sorted(names)}


def _paged(call: Call, name: str, items: list[Any]) -> Document:
    """Return a page of items with their number and the number of those that follow."""
    size = min(max(call.arguments.integer("page_size", LARGEST_PAGE), 1), LARGEST_PAGE)
    start = size * max(call.arguments.integer("page", 0), 0)
    remaining = max(0, len(items) - start - size)
    return {name: items[start : start + size], "total": len(items), "remaining": remaining}


def _owned(call: Call) -> str:
    """Return SQL that leaves out what is public, if the call asks for that."""
    return "1" if call.arguments.flag("allow_public", True) else f"NOT {IS_PUBLIC}"


def _tags(call: Call, table: str, projects: list[str]) -> dict[str, list[str]]:
    """Return the tags of the documents of ``table``, a name from this package."""
    query = Query()
    if projects:
        column = "id" if table == "projects" else "project"
        query.add(f"{table}.{column} IN (SELECT value FROM json_each(?))", json.dumps(projects))
    chosen = Arguments(call.arguments.mapping("filter"))
    for name in chosen:
        if name not in TAGS:
            raise InvalidArgument(f"Validation error: filter: {name!r:.60} is neither tags nor system_tags")
        sql, values = list_condition(Field(name, f"$.{name}", many=True), chosen.values(name))
        query.add(sql, *values)
    tags: dict[str, list[str]] = {}
    for name in TAGS if call.arguments.flag("include_system") else TAGS[:1]:
        sql = f"SELECT DISTINCT tag.value AS tag FROM {table}, json_each(doc, '$.{name}') AS tag"
        rows = call.db.execute(f"{sql} WHERE {query.where} ORDER BY 1", query.parameters)
        tags[name] = [row["tag"] for row in rows if isinstance(row["tag"], str)]
    return tags


def _chosen(call: Call, argument: str) -> tuple[bool, str]:
    """Return the values for CHOSEN: all projects if none is named."""
    named = call.arguments.texts(argument)
    chosen = named
    if call.arguments.flag("include_subprojects", True):
        chosen = [project for root in named for project in tree(call.db, root)]
    return not named, json.dumps(chosen)
