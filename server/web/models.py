"""The registry of models."""

from server import documents
from server.documents import Document
from server.web.runs import runs
from server.web.shell import text
from server.web.shell.section import Shown, Visit

PAGE = 50


def page(visit: Visit) -> Shown:
    """The model registry: search, published only, archived."""
    wanted, start = visit.query.get("q", ""), visit.integer("from")
    published, archived = visit.query.get("published") == "1", visit.query.get("archived") == "1"
    found = documents.where(
        visit.db,
        "models",
        f"{runs.ARCHIVED} = ? AND instr(lower(name), lower(?)) AND (? OR json_extract(doc, '$.ready') = 1)"
        " ORDER BY rowid DESC LIMIT ? OFFSET ?",
        (archived, wanted, not published, PAGE + 1, start),
    )
    values = {
        "models": [_line(visit, model) for model in found[:PAGE]],
        "wanted": wanted,
        "published": published,
        "archived": archived,
        "older": start + PAGE if len(found) > PAGE else None,
        "newer": max(start - PAGE, 0) if start else None,
    }
    return Shown("models.html", values)


def model(visit: Visit) -> Shown:
    """One model: where it is from, what it was made with, its metadata and file."""
    found = visit.document("models", visit.path["model"], "model")
    design = found.get("design", {}).get("design")
    values = {
        "model": found,
        "made_by": _task(visit, found),
        "project": documents.names(visit.db, "projects", [found.get("project") or ""]).get(
            found.get("project") or ""
        ),
        "design": design if isinstance(design, str) else "",
        "labels": sorted(found.get("labels", {}).items(), key=lambda item: _place(item[1])),
        "metadata": [(key, runs.value(item)) for key, item in sorted(found.get("metadata", {}).items())],
        "download": text.link(found.get("uri")),
    }
    return Shown("model.html", values)


def _line(visit: Visit, found: Document) -> Document:
    metadata = found.get("metadata", {})
    scored = {name: runs.value(metadata[name]) for name in ("valid_f2", "test_f2") if name in metadata}
    return {**found, "made_by": _task(visit, found), "scored": scored}


def _task(visit: Visit, found: Document) -> Document | None:
    task = documents.find(visit.db, "tasks", found.get("task") or "")
    return runs.short(task) if task else None


def _place(number: object) -> float:
    return number if isinstance(number, (int, float)) else 0.0
