"""The reports service: Markdown texts, kept as tasks of type ``report`` in hidden projects."""

from dataclasses import replace

from server import documents
from server.answers import expand, fetch
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import BadRequest
from server.query import TAGS, translate
from server.requests import Arguments
from server.services.tasks.removal import archive_task, delete_task, unarchive
from server.services.tasks.status import change
from server.stores.projects import ensure_project, load_project, with_subprojects
from server.stores.tasks import TASKS, blank_task, load_task, require_status, save_task

service = Service("reports", version="2.23")

TYPE = "report"
FOLDER = ".reports"
TEXTS = ("name", "comment", "report")
LISTS = (*TAGS, "report_assets")
FOUND = ("include_subprojects", *TASKS.arguments)
DRAFT = frozenset({"created"})


class InvalidReport(BadRequest, subcode=101):
    """No report has this id."""


@service.writes("create", "project", *TEXTS, *LISTS)
def create(call: Call) -> Document:
    """Create a report in the hidden part of a project, or of none; return its id and that project."""
    call.arguments.require("name")
    fields = _fields_of(call)
    parent = call.arguments.maybe_text("project")
    project = _folder(call, load_project(call.db, parent)["name"] if parent else "")
    report = blank_task(call.now) | {"type": TYPE, "report": "", "project": project} | fields
    documents.insert(call.db, "tasks", report)
    return {"id": report["id"], "project_id": project}


@service.writes("update", "task", *TEXTS, *LISTS)
def update(call: Call) -> Document:
    """Change a report that is not published."""
    report = _report(call)
    require_status(report, DRAFT)
    fields = _fields_of(call)
    report |= fields
    return {"fields": fields | save_task(call.db, report, call.now), "updated": 1}


@service.writes("move", "task", "project", "project_name")
def move(call: Call) -> Document:
    """Move a report to the hidden part of a project, created if ``project_name`` is new."""
    report = _report(call)
    named = call.arguments.maybe_text("project_name")
    if named is None:
        named = load_project(call.db, call.arguments.text("project"))["name"]
    report["project"] = _folder(call, named)
    save_task(call.db, report, call.now)
    return {"project_id": report["project"]}


@service.writes("publish", "task", "message")
def publish(call: Call) -> Document:
    """Publish a report, which makes it read-only."""
    report = _report(call)
    require_status(report, DRAFT)
    return {"fields": change(_with_message(call), report, "published", published=call.now), "updated": 1}


@service.writes("archive", "task", "message")
def archive(call: Call) -> Document:
    """Archive a report."""
    archive_task(_with_message(call), _report(call)["id"])
    return {"archived": 1}


@service.writes("unarchive", "task", "message")
def restore(call: Call) -> Document:
    """Restore an archived report."""
    unarchive(_with_message(call), _report(call)["id"])
    return {"unarchived": 1}


@service.writes("delete", "task", "force")
def delete(call: Call) -> Document:
    """Delete a report; one that is published only with ``force``."""
    report = _report(call)
    require_status(report, DRAFT, call.arguments.flag("force"))
    delete_task(call.db, report)
    return {"deleted": True}


@service.reads("get_all_ex", *FOUND)
def get_all_ex(call: Call) -> Document:
    """Return the reports that match the filters, with id and name of their projects."""
    arguments = call.arguments
    if "project" in arguments and not arguments.flag("include_subprojects"):
        # A project's reports are in its hidden part.
        names = [load_project(call.db, project)["name"] for project in arguments.texts("project")]
        folders = [documents.named(call.db, "projects", f"{name}/{FOLDER}") for name in names]
        chosen = [*arguments.texts("project"), *(folder["id"] for folder in folders if folder)]
        arguments = arguments.replaced("project", chosen)
    query = translate(TASKS, with_subprojects(call.db, arguments))
    query.add("type = ?", TYPE)
    page, scroll = fetch(call.db, TASKS, call.arguments, query)
    return expand(call, TASKS, page, {"project": "projects"}, scroll)


@service.reads("get_tags")
def get_tags(call: Call) -> Document:
    """Return the tags of reports."""
    rows = call.db.execute(
        "SELECT DISTINCT tag.value AS tag FROM tasks, json_each(doc, '$.tags') AS tag"
        " WHERE tasks.type = ? ORDER BY 1",
        (TYPE,),
    )
    return {"tags": [row["tag"] for row in rows]}


def _report(call: Call) -> Document:
    report = load_task(call.db, call.arguments.text("task"))
    if report["type"] != TYPE:
        raise InvalidReport(f"Invalid report id: id={report['id']}, it is a task of type {report['type']}")
    return report


def _fields_of(call: Call) -> Document:
    fields = call.arguments.chosen(TEXTS, LISTS)
    documents.check_name(fields)
    return fields


def _folder(call: Call, project: str) -> str:
    """Return the id of the hidden project for the reports of a project; of the reports of none if empty."""
    name = f"{project}/{FOLDER}" if project else FOLDER
    folder: str = ensure_project(call.db, name, call.now)["id"]
    return folder


def _with_message(call: Call) -> Call:
    """Return the call with its message under the name that the calls of tasks give it."""
    message = call.arguments.maybe_text("message")
    return replace(call, arguments=Arguments({"status_message": message}))
