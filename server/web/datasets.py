"""The datasets, their versions, and what is in one."""

import json
from dataclasses import dataclass

from server.documents import Document
from server.web import sample_chips as chips
from server.web.runs import runs
from server.web.shell import text
from server.web.shell.section import NotThere, Picture, Shown, Visit
from server.web.tasks import figures as plots
from server.web.tasks import pages as task_page

TAGGED = "EXISTS (SELECT 1 FROM json_each(doc, '$.system_tags') WHERE value = 'dataset')"
CONTENT = "Dataset Content"
STRUCTURE = "Dataset Struct"
ROWS = 100
FIELDS = (*runs.FIELDS, "tags", "runtime")


@dataclass(frozen=True)
class Version:
    """A dataset task, read for the list."""

    task: Document
    tags: list[str]
    facts: Document

    @property
    def number(self) -> str:
        """The version as its maker counts, such as `1.0.2`; empty if it has none."""
        return str(self.facts.get("version") or "")


def page(visit: Visit) -> Shown:
    """All datasets by name, each with its versions."""
    wanted = visit.query.get("q", "")
    groups: dict[str, list[Version]] = {}
    for version_ in _versions(
        visit, f"{TAGGED} AND NOT {runs.ARCHIVED} AND instr(lower(name), lower(?))", (wanted,)
    ):
        groups.setdefault(version_.task["name"], []).append(version_)
    return Shown("datasets.html", {"groups": groups, "wanted": wanted})


def version(visit: Visit) -> Shown:
    """One version: its place among the others, what is in it, and what was reported about it."""
    task = visit.task()
    values = task_page.head(visit, task)
    files = _files(task)
    wanted, start = visit.query.get("q", ""), visit.integer("from")
    matching = [row for row in files if wanted.lower() in row[0].lower()]
    siblings = _versions(
        visit, f"{TAGGED} AND name = ? AND project IS ?", (task["name"], task.get("project"))
    )
    values |= {
        "facts": task["runtime"],
        "versions": siblings,
        "parents": _parents(task),
        "count": len(files),
        "matching": len(matching),
        "files": matching[start : start + ROWS],
        "wanted": wanted,
        "older": start + ROWS if len(matching) > start + ROWS else None,
        "newer": max(start - ROWS, 0) if start else None,
        "artifacts": [item for item in task_page.artifacts(task) if item.key != "state"],
        "pictures": [name for name, _, _ in chips.pictures(visit.files, task)],
        "images": plots.images(visit, task["id"])[:12],
        "plots": _told(visit, task),
    }
    return Shown("dataset.html", values)


def picture(visit: Visit) -> Picture:
    """One of the pictures of the preview."""
    found = chips.pictures(visit.files, visit.task())
    place = int(visit.path["place"])
    if place >= len(found):
        raise NotThere("There is no such picture")
    _, kind, content = found[place]
    return Picture(kind, content)


def _told(visit: Visit, task: Document) -> list[plots.Plot]:
    """The tables and pictures that somebody reported about the dataset; the SDK's own repeat the facts."""
    found = plots.plots(visit.db, task["id"])
    return [plot for plot in found if (plot.table or plot.image) and not plot.metric.startswith("__")]


def _versions(visit: Visit, condition: str, values: tuple[object, ...]) -> list[Version]:
    columns = ", ".join(f"json_extract(doc, '$.{name}') AS {name}" for name in FIELDS)
    rows = visit.db.execute(
        f"SELECT {columns} FROM tasks WHERE {condition} ORDER BY rowid DESC LIMIT 500", values
    )
    return [
        Version(
            {name: row[name] for name in runs.FIELDS},
            [tag for tag in json.loads(row["tags"] or "[]") if isinstance(tag, str)],
            json.loads(row["runtime"] or "{}"),
        )
        for row in rows
    ]


def _files(task: Document) -> list[tuple[str, str, str]]:
    """(name, size, hash) of every file, from the listing that the SDK keeps with the dataset."""
    stored = task["configuration"].get(CONTENT, {}).get("value")
    lines = stored.splitlines()[1:] if isinstance(stored, str) else []
    rows = [line.rsplit(", ", 2) for line in lines if line.strip()]
    return [_file(row) for row in rows]


def _file(row: list[str]) -> tuple[str, str, str]:
    name, count, digest = [*row, "", ""][:3]
    return name, text.size(int(count[:18])) if count.isascii() and count.isdigit() else count, digest


def _parents(task: Document) -> list[str]:
    """The ids of the versions that this one builds on."""
    stored = task["configuration"].get(STRUCTURE, {}).get("value")
    try:
        structure = json.loads(stored) if isinstance(stored, str) else {}
    except (ValueError, RecursionError):
        return []
    items = structure.values() if isinstance(structure, dict) else []
    ids = [item.get("job_id") for item in items if isinstance(item, dict)]
    return [found for found in ids if isinstance(found, str) and found != task["id"]]
