"""Pages of the model registry: the list, one model, and the forms that publish and archive it."""

import re
import sqlite3
from collections.abc import Iterable
from urllib.parse import quote

from server import documents
from server.documents import ARCHIVED, Document
from server.web.runs.results import MAX_COLUMNS, RESULTS, Column, declared_columns, merged
from server.web.shell.section import Form, Section, Shown, Visit
from server.web.tasks import listing, summary

PAGE = 50
NUMBERS = frozenset({"float", "int"})
ID = re.compile(r"[0-9a-f]{32}")

section = Section()


@section.page("/models", link="Models")
def model_list(visit: Visit) -> Shown:
    """Models by name, all or only the published ones, newest first."""
    wanted, published, archived = visit.query.get("q", ""), visit.flag("published"), visit.flag("archived")
    models = documents.where(
        visit.db,
        "models",
        f"{ARCHIVED} = ? AND instr(lower(name), lower(?)) AND (? OR json_extract(doc, '$.ready') = 1)"
        " ORDER BY rowid DESC LIMIT ? OFFSET ?",
        (archived, wanted, not published, PAGE + 1, visit.integer("from")),
    )
    lines = [_line(visit, model) for model in models[:PAGE]]
    values = {
        "models": lines,
        "columns": _columns(visit.db, lines),
        "wanted": wanted,
        "published": published,
        "archived": archived,
    }
    return Shown("models.html", values | visit.page_links(PAGE, len(models)))


@section.page("/projects/{project}/models/{model}", "/projects/{project}/models/{model}/{tab:path}")
def model_page(visit: Visit) -> Shown:
    """One model: the task that made it, its design, labels, metadata and file."""
    model = visit.document("models", visit.path["model"], "model")
    design = model.get("design", {}).get("design")
    project = model.get("project") or ""
    made_by = documents.find(visit.db, "tasks", model.get("task") or "")
    metadata = [(key, summary.value(item)) for key, item in sorted(model.get("metadata", {}).items())]
    values = {
        "model": model,
        "made_by": made_by,
        "run": summary.find(visit.db, made_by.get("parent")) if made_by else None,
        "inputs": _once(_tasks_of(visit.db, _arguments(made_by))) if made_by else {},
        "project": documents.names(visit.db, "projects", [project]).get(project),
        "design": design if isinstance(design, str) else "",
        "labels": sorted(model.get("labels", {}).items(), key=lambda label: _index(label[1])),
        "metadata": metadata,
        "tasks": _tasks_of(visit.db, metadata),
    }
    return Shown("model.html", values)


@section.action("publish-model", "Published.")
def publish_model(form: Form) -> str:
    """Publish a model: it is ready to be used."""
    form.api.invoke("models.set_ready", model=form.value("model"), publish_task=False)
    return _path(form)


@section.action("archive-model", "Archived. Find it with “archived” ticked in the list.")
def archive_model(form: Form) -> str:
    """Archive a model: the list leaves it out."""
    form.api.invoke("models.archive_many", ids=[form.value("model")])
    return _path(form)


@section.action("restore-model", "Restored from the archive.")
def restore_model(form: Form) -> str:
    """Restore a model from the archive."""
    form.api.invoke("models.unarchive_many", ids=[form.value("model")])
    return _path(form)


def _path(form: Form) -> str:
    model = form.api.invoke("models.get_by_id", model=form.value("model"))["model"]
    return f"/projects/{quote(model.get('project') or '*', safe='*')}/models/{quote(model['id'])}"


def _arguments(task: Document) -> list[tuple[str, str]]:
    """Return the parameters of a task, without what it returned."""
    return [
        (item.name, item.value)
        for name, items in summary.sections(task)
        if name != summary.RETURNED
        for item in items
    ]


def _tasks_of(db: sqlite3.Connection, values: Iterable[tuple[str, str]]) -> dict[str, Document]:
    """Return the tasks whose ids are among the values, by the names of those."""
    found = ((name, summary.find(db, value)) for name, value in values if ID.fullmatch(value))
    return {name: task for name, task in found if task}


def _once(tasks: dict[str, Document]) -> dict[str, Document]:
    """Return each task once, by the first of its names."""
    first = {task["id"]: name for name, task in reversed(tasks.items())}
    return {name: task for name, task in tasks.items() if first[task["id"]] == name}


def _line(visit: Visit, model: Document) -> Document:
    metadata = model.get("metadata", {})
    numbers = {key: summary.value(item) for key, item in metadata.items() if item.get("type") in NUMBERS}
    return {**model, "made_by": summary.find(visit.db, model.get("task")), "numbers": numbers}


def _columns(db: sqlite3.Connection, lines: list[Document]) -> list[Column]:
    """Return the numbers in the metadata as columns, as the runs that made the models declare them."""
    runs = [line["made_by"]["parent"] for line in lines if line["made_by"]]
    stored = listing.rows_of(db, f"json_extract(doc, '$.configuration.{RESULTS}.value') AS results", runs)
    numbers = [[Column((key,), key) for key in line["numbers"]] for line in lines]
    present = {column.key for columns in numbers for column in columns}
    columns = merged([*(declared_columns(row["results"]) for row in stored), *numbers])
    return [column for column in columns if column.key in present][:MAX_COLUMNS]


def _index(number: object) -> float:
    return number if isinstance(number, (int, float)) else 0.0
