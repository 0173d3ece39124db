"""Tasks: made, found, edited, cloned, moved."""

import json

from server import documents, identity
from server.answers import answer, each, fetch, resolve
from server.dispatch import Call, Service
from server.documents import Document, new_id
from server.errors import InvalidProject, InvalidTaskStatus
from server.query import Query, translate
from server.services.tasks.fields import clone_task, read_task_fields
from server.stores.projects import destination, ensure_project, touch_project, tree
from server.stores.tasks import TASKS, blank_task, load_task, save_task, touch

service = Service("tasks")

EDITABLE = frozenset({"created", "queued", "in_progress"})
# Labels say nothing about the run: changing them is no update of it.
LABELS = frozenset({"name", "tags", "system_tags"})
KEPT_IN_EXECUTION = ("queue", "artifacts")


@service.writes("create")
def create(call: Call) -> Document:
    """Make a draft of a task; answers its id."""
    call.arguments.require("name", "type")
    task = blank_task(new_id(), call.now) | _given(call)
    documents.insert(call.db, "tasks", task)
    touch_project(call.db, task.get("project"), call.now)
    return {"id": task["id"]}


@service.reads("validate")
def validate(call: Call) -> Document:
    """Check what ``create`` would be given; an empty answer means that it is right."""
    call.arguments.require("name", "type")
    _given(call)
    return {}


@service.reads("get_by_id")
def get_by_id(call: Call) -> Document:
    """One task, whole."""
    return {"task": load_task(call.db, call.arguments.text("task"))}


@service.reads("get_all")
def get_all(call: Call) -> Document:
    """The tasks that match the filters; those of hidden projects only with ``search_hidden``."""
    found, scroll = fetch(call.db, TASKS, call.arguments, _filters(call))
    return answer(TASKS, call.arguments, found, scroll)


@service.reads("get_all_ex")
def get_all_ex(call: Call) -> Document:
    """As ``get_all``, with project, parent and queue given by id and name."""
    found, scroll = fetch(call.db, TASKS, call.arguments, _filters(call))
    references = {"project": "projects", "parent": "tasks", "execution.queue": "queues"}
    return resolve(call, TASKS, found, references, scroll)


@service.reads("get_by_id_ex")
def get_by_id_ex(call: Call) -> Document:
    """As ``get_all_ex``, for tasks whose ids are known."""
    return get_all_ex(call)


@service.reads("get_types")
def get_types(call: Call) -> Document:
    """The types of task in use, in all projects or in those named."""
    projects = [project for root in call.arguments.texts("projects") for project in tree(call.db, root)]
    rows = call.db.execute(
        "SELECT DISTINCT type FROM tasks"
        " WHERE ? OR project IN (SELECT value FROM json_each(?)) ORDER BY type",
        (not projects, json.dumps(projects)),
    )
    return {"types": [row["type"] for row in rows]}


@service.writes("edit")
def edit(call: Call) -> Document:
    """Replace fields of a task that has not ended; ``force`` for one that has."""
    task = load_task(call.db, call.arguments.text("task"))
    if task["status"] not in EDITABLE and not call.arguments.flag("force"):
        expected = sorted(EDITABLE)
        message = f"Invalid task status: task={task['id']}, status={task['status']}, expected={expected}"
        raise InvalidTaskStatus(message)
    return _change(call, task, _given(call))


@service.writes("update")
def update(call: Call) -> Document:
    """Names, tags and comments may change whatever the status."""
    allowed = {"name", "tags", "system_tags", "comment", "project", "output"}
    fields = {name: value for name, value in _given(call).items() if name in allowed}
    return _change(call, load_task(call.db, call.arguments.text("task")), fields)


@service.writes("set_requirements")
def set_requirements(call: Call) -> Document:
    """Replace the packages that the task's script asks for."""
    call.arguments.require("requirements")
    task = load_task(call.db, call.arguments.text("task"))
    task["script"]["requirements"] = call.arguments.mapping("requirements")
    touch(task, call.now)
    save_task(call.db, task)
    return {"fields": {}, "updated": 1}


@service.writes("ping")
def ping(call: Call) -> Document:
    """A sign of life of a running task."""
    task = load_task(call.db, call.arguments.text("task"))
    touch(task, call.now)
    save_task(call.db, task)
    return {}


@service.writes("clone")
def clone(call: Call) -> Document:
    """Copy a task as a draft, with the fields that the call overrides; answers the copy's id."""
    source = load_task(call.db, call.arguments.text("task"))
    task = clone_task(source, call.arguments, call.now)
    data: Document = {}
    if "new_project_name" in call.arguments:
        project = ensure_project(call.db, call.arguments.text("new_project_name"), call.now)
        task["project"] = project["id"]
        data["new_project"] = {"id": project["id"], "name": project["name"]}
    _check_project(call, task)
    documents.insert(call.db, "tasks", task)
    return {"id": task["id"], **data}


@service.writes("move")
def move(call: Call) -> Document:
    """Move tasks to a project, made by ``project_name`` if there is none; all of them or none."""
    project = destination(call.db, call.arguments, call.now)
    for task_id in call.arguments.texts("ids"):
        task = load_task(call.db, task_id)
        task["project"] = project
        touch(task, call.now, updated=False)
        save_task(call.db, task)
    return {"project_id": project, "updated": len(call.arguments.texts("ids"))}


@service.writes("update_tags")
def update_tags(call: Call) -> Document:
    """Add and remove single tags over many tasks."""
    added, removed = call.arguments.texts("add_tags"), set(call.arguments.texts("remove_tags"))

    def retag(task_id: str) -> Document:
        task = load_task(call.db, task_id)
        task["tags"] = [tag for tag in dict.fromkeys([*task["tags"], *added]) if tag not in removed]
        touch(task, call.now, updated=False)
        save_task(call.db, task)
        return {"updated": 1}

    return each(call, call.arguments.texts("ids"), retag)


def _given(call: Call) -> Document:
    fields = read_task_fields(call.arguments, call.now)
    _check_project(call, fields)
    return fields


def _check_project(call: Call, fields: Document) -> None:
    project = fields.get("project")
    if project and documents.find(call.db, "projects", project) is None:
        raise InvalidProject(f"Invalid project id: id={project}, company={identity.COMPANY}")


def _change(call: Call, task: Document, fields: Document) -> Document:
    if "execution" in fields:
        kept = {name: task["execution"][name] for name in KEPT_IN_EXECUTION if name in task["execution"]}
        fields["execution"] = kept | fields["execution"]
    if fields.get("parent") == "":
        del fields["parent"]
        task.pop("parent", None)
    task |= fields
    marks = touch(task, call.now, updated=not fields.keys() <= LABELS)
    save_task(call.db, task)
    return {"fields": fields | marks, "updated": 1}


def _filters(call: Call) -> Query:
    arguments = call.arguments
    if arguments.flag("include_subprojects") and "project" in arguments:
        below = [project for root in arguments.texts("project") for project in tree(call.db, root)]
        arguments = arguments.replaced("project", below)
    query = translate(TASKS, arguments)
    narrow = "id" in arguments or "project" in arguments
    if not arguments.flag("search_hidden") and not narrow:
        query.add("NOT EXISTS (SELECT 1 FROM json_each(doc, '$.system_tags') WHERE value = 'hidden')")
    return query
