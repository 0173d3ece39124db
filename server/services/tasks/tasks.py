"""Calls of the tasks service that create, find, edit, clone and move tasks."""

import json
from dataclasses import replace

from server import documents
from server.answers import answer, expand, fetch
from server.dispatch import Call, Service, bulk
from server.documents import Document, has_system_tag
from server.query import Query, translate
from server.requests import Arguments, parse_object
from server.services.tasks.fields import FIELDS, OVERRIDES, clone_task, read_task_fields
from server.stores.projects import destination, ensure_project, touch_project, tree, with_subprojects
from server.stores.tasks import TASKS, blank_task, load_task, require_status, save_task

service = Service("tasks")

FOUND = ("search_hidden", "include_subprojects", *TASKS.arguments)
UPDATED = ("name", "tags", "system_tags", "comment", "project", "output_dest")
REFERENCES = {"project": "projects", "parent": "tasks"}
DRAFT = frozenset({"created"})
# Labels are not part of the run, so changing them does not update it.
LABELS = frozenset({"name", "tags", "system_tags"})
KEPT_IN_EXECUTION = ("queue", "artifacts")


@service.writes("create", *FIELDS)
def create(call: Call) -> Document:
    """Create a draft of a task and return its id."""
    call.arguments.require("name", "type")
    task = blank_task(call.now) | _fields_of(call)
    documents.insert(call.db, "tasks", task)
    touch_project(call.db, task.get("project"), call.now)
    return {"id": task["id"]}


@service.reads("validate", *FIELDS)
def validate(call: Call) -> Document:
    """Check the arguments of ``create``; an empty answer means that they are valid."""
    call.arguments.require("name", "type")
    _fields_of(call)
    return {}


@service.reads("get_by_id", "task")
def get_by_id(call: Call) -> Document:
    """Return one task, whole."""
    return {"task": load_task(call.db, call.arguments.text("task"))}


@service.reads("get_all", *FOUND)
def get_all(call: Call) -> Document:
    """Return the tasks that match the filters; hidden ones only with ``search_hidden``."""
    page, scroll = fetch(call.db, TASKS, call.arguments, _filters(call))
    return answer(TASKS, call.arguments, page, scroll)


@service.reads("get_all_ex", *FOUND)
@service.reads("get_by_id_ex", *FOUND)
def get_all_ex(call: Call) -> Document:
    """Return the same as ``get_all``, with id and name of project, parent and queue."""
    page, scroll = fetch(call.db, TASKS, call.arguments, _filters(call))
    references = {"project": "projects", "parent": "tasks", "execution.queue": "queues"}
    return expand(call, TASKS, page, references, scroll)


@service.reads("get_types", "projects")
def get_types(call: Call) -> Document:
    """Return the task types in use, in all projects or the named ones."""
    projects = [project for root in call.arguments.texts("projects") for project in tree(call.db, root)]
    rows = call.db.execute(
        "SELECT DISTINCT type FROM tasks"
        " WHERE ? OR project IN (SELECT value FROM json_each(?)) ORDER BY type",
        (not projects, json.dumps(projects)),
    )
    return {"types": [row["type"] for row in rows]}


@service.writes("edit", "task", "force", *FIELDS)
def edit(call: Call) -> Document:
    """Replace fields of a draft or, with ``force``, of any task."""
    task = load_task(call.db, call.arguments.text("task"))
    require_status(task, DRAFT, call.arguments.flag("force"))
    return _change(call, task, _fields_of(call))


@service.writes("update", "task", "force", *UPDATED)
def update(call: Call) -> Document:
    """Replace labels, comment, project or output of a task of any status."""
    return _change(call, load_task(call.db, call.arguments.text("task")), _fields_of(call))


@service.writes("update_batch", "task", "force", *UPDATED)
def update_batch(call: Call) -> Document:
    """Update several tasks, each by a JSON line with the arguments of ``update``; all of them or none."""
    for line in call.lines:
        values = parse_object(line)
        service.endpoints["tasks.update"].check(values)
        update(replace(call, arguments=Arguments(values)))
    return {"updated": len(call.lines)}


@service.writes("set_requirements", "task", "requirements", "force")
def set_requirements(call: Call) -> Document:
    """Replace the required packages of the task's script."""
    call.arguments.require("requirements")
    task = load_task(call.db, call.arguments.text("task"))
    task["script"]["requirements"] = call.arguments.mapping("requirements")
    save_task(call.db, task, call.now)
    return {"fields": {}, "updated": 1}


@service.writes("ping", "task")
def ping(call: Call) -> Document:
    """Record a sign of life of a running task."""
    task = load_task(call.db, call.arguments.text("task"))
    save_task(call.db, task, call.now)
    return {}


@service.writes("clone", "task", "new_project_name", *OVERRIDES)
def clone(call: Call) -> Document:
    """Copy a task as a draft with the call's overrides and return the copy's id."""
    source = load_task(call.db, call.arguments.text("task"))
    task = clone_task(source, call.arguments, call.now)
    data: Document = {}
    if "new_project_name" in call.arguments:
        project = ensure_project(call.db, call.arguments.text("new_project_name"), call.now)
        task["project"] = project["id"]
        data["new_project"] = {"id": project["id"], "name": project["name"]}
    documents.check_references(call.db, task, REFERENCES)
    documents.insert(call.db, "tasks", task)
    return {"id": task["id"], **data}


@service.writes("move", "ids", "project", "project_name")
def move(call: Call) -> Document:
    """Move tasks to a project, created if ``project_name`` is new; all of them or none."""
    project = destination(call.db, call.arguments, call.now)
    for task_id in call.arguments.texts("ids"):
        task = load_task(call.db, task_id)
        task["project"] = project
        save_task(call.db, task, call.now, updated=False)
    return {"project_id": project, "updated": len(call.arguments.texts("ids"))}


@service.writes("update_tags", "ids", "add_tags", "remove_tags")
def update_tags(call: Call) -> Document:
    """Add tags to tasks and remove others."""
    added, removed = call.arguments.texts("add_tags"), set(call.arguments.texts("remove_tags"))

    def retag(task_id: str) -> Document:
        task = load_task(call.db, task_id)
        task["tags"] = [tag for tag in dict.fromkeys([*task["tags"], *added]) if tag not in removed]
        save_task(call.db, task, call.now, updated=False)
        return {"updated": 1}

    return bulk(call, retag)


def _fields_of(call: Call) -> Document:
    fields = read_task_fields(call.arguments, call.now)
    documents.check_references(call.db, fields, REFERENCES)
    return fields


def _change(call: Call, task: Document, fields: Document) -> Document:
    if "execution" in fields:
        kept = {name: task["execution"][name] for name in KEPT_IN_EXECUTION if name in task["execution"]}
        fields["execution"] = kept | fields["execution"]
    if fields.get("parent") == "":
        del fields["parent"]
        task.pop("parent", None)
    task |= fields
    marks = save_task(call.db, task, call.now, updated=not fields.keys() <= LABELS)
    return {"fields": fields | marks, "updated": 1}


def _filters(call: Call) -> Query:
    arguments = with_subprojects(call.db, call.arguments)
    query = translate(TASKS, arguments)
    narrow = "id" in arguments or "project" in arguments
    if not arguments.flag("search_hidden") and not narrow:
        query.add(f"NOT {has_system_tag('hidden')}")
    return query
