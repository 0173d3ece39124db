"""Lists of tasks: filters, order and columns, all of them in the address, so that a link is a view."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from server.documents import Document
from server.stores.events import metric_hash
from server.stores.tasks import STATUSES
from server.web.shell import text
from server.web.shell.section import Values, Visit
from server.web.tasks import summary

MAX_COLUMNS = 8
MAX_OFFERED = 80
CHOICES = ("in_progress", "queued", "completed", "failed", "stopped", "published", "created")
ORDERS = {
    "name": "name COLLATE NOCASE",
    "status": "status",
    "type": "type",
    "started": "started",
    "duration": "julianday(coalesce(ended, last_update)) - julianday(started)",
}
"""SQL of the columns by which a list can be sorted, beside those that a visitor adds."""


@dataclass(frozen=True)
class Column:
    """A metric (with its variant) or a parameter (of a section) as a column."""

    kind: str
    group: str
    name: str

    @property
    def key(self) -> str:
        """The column as the address names it."""
        return f"{self.kind}|{self.group}|{self.name}"

    @property
    def title(self) -> str:
        """The head of the column."""
        return (
            self.name if self.kind == "parameter" or self.name == self.group else f"{self.group} {self.name}"
        )

    @property
    def path(self) -> str:
        """The place of the value in a task, as SQL's JSON path."""
        if self.kind == "metric":
            return f"$.last_metrics.{metric_hash(self.group)}.{metric_hash(self.name)}.value"
        return f'$.hyperparams."{self.group}"."{self.name}".value'


@dataclass(frozen=True)
class View:
    """What an address asks of a list."""

    wanted: str
    status: str
    tag: str
    archived: bool
    sort: str
    columns: tuple[Column, ...]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The view as fields of an address, without what is as usual."""
        fields = {"q": self.wanted, "status": self.status, "tag": self.tag, "sort": self.sort}
        fields["archived"] = "1" if self.archived else ""
        return [(name, value) for name, value in fields.items() if value] + [
            ("column", column.key) for column in self.columns
        ]

    def sorted_by(self, name: str) -> str:
        """Return the query of this view sorted by a column, or the other way round if it already is."""
        order = f"-{name}" if self.sort == name else name
        kept = [field for field in self.query if field[0] != "sort"]
        return urlencode([*kept, ("sort", order)])

    def direction(self, name: str) -> str:
        """Return how the view is sorted by a column: ascending, descending or none."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.sort, "none")


def view_of(visit: Visit) -> View:
    """Return what the address asks for; what it asks in vain is as usual."""
    columns = tuple(filter(None, map(_column, visit.columns)))[:MAX_COLUMNS]
    status, sort = visit.query.get("status", ""), visit.query.get("sort", "")
    known = {*ORDERS, *(column.key for column in columns)}
    return View(
        wanted=visit.query.get("q", ""),
        status=status if status in STATUSES else "",
        tag=visit.query.get("tag", ""),
        archived=visit.flag("archived"),
        sort=sort if sort.removeprefix("-") in known else "",
        columns=columns,
    )


def page_ids(
    visit: Visit, view: View, size: int, condition: str = "1", values: Sequence[object] = ()
) -> list[str]:
    """Return the ids on the page that the address asks for, and one more, among tasks under a condition."""
    archived = "EXISTS (SELECT 1 FROM json_each(system_tags) WHERE value = 'archived')"
    conditions, parameters = [condition, f"{archived} = ?"], [*values, view.archived]
    if view.wanted:
        conditions.append("instr(lower(name), lower(?))")
        parameters.append(view.wanted)
    if view.status:
        conditions.append("status = ?")
        parameters.append(view.status)
    if view.tag:
        conditions.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
        parameters.append(view.tag)
    order = "rowid DESC"
    if view.sort:
        name = view.sort.removeprefix("-")
        expression = ORDERS.get(name, "")
        if not expression:
            path = next(column.path for column in view.columns if column.key == name)
            # Parameters are texts: those that begin with a number count as it.
            expression = "CAST(json_extract(doc, ?) AS REAL)"
            parameters.append(path)
        direction = "DESC" if view.sort.startswith("-") else "ASC"
        order = f"{expression} {direction} NULLS LAST, {order}"
    rows = visit.db.execute(
        f"SELECT rowid FROM tasks INDEXED BY tasks_listed WHERE {' AND '.join(conditions)}"
        f" ORDER BY {order} LIMIT ? OFFSET ?",
        (*parameters, size + 1, visit.integer("from")),
    )
    places = json.dumps([row["rowid"] for row in rows])
    found = visit.db.execute(
        "SELECT t.id FROM json_each(?) AS place JOIN tasks AS t ON t.rowid = place.value ORDER BY place.key",
        (places,),
    )
    return [row["id"] for row in found]


def rows_of(db: sqlite3.Connection, columns: str, ids: Sequence[str]) -> list[sqlite3.Row]:
    """Return SQL columns of the tasks with these ids, in their order."""
    sql = f"SELECT id, {columns} FROM tasks WHERE id IN (SELECT value FROM json_each(?))"
    found = {row["id"]: row for row in db.execute(sql, (json.dumps(list(ids)),))}
    return [found[task_id] for task_id in ids if task_id in found]


def values_of(visit: Visit, view: View, ids: Sequence[str]) -> Values:
    """Return what the templates of a list need: cells by task, the columns and the tags to choose from."""
    # One path after the other would parse the document once for each.
    fields = "json_extract(doc, '$.last_metrics', '$.hyperparams', '$.tags') AS fields"
    cells: dict[str, dict[str, object]] = {}
    tags: dict[str, list[str]] = {}
    for row in rows_of(visit.db, fields, ids):
        metrics, parameters, its_tags = json.loads(row["fields"])
        cells[row["id"]] = _cells(metrics or {}, parameters or {})
        tags[row["id"]] = [tag for tag in its_tags or () if isinstance(tag, str)]
    offered = dict.fromkeys(
        [column.key for column in view.columns] + [key for row in cells.values() for key in row]
    )
    columns = filter(None, map(_column, list(offered)[:MAX_OFFERED]))
    return {
        "view": view,
        "cells": cells,
        "tags": tags,
        "offered": sorted(columns, key=lambda column: (column.kind, text.natural(column.title))),
        "known_tags": sorted({tag for row in tags.values() for tag in row}),
        "choices": CHOICES,
        "back": f"{visit.here}?{urlencode(view.query)}",
    }


def _cells(metrics: Document, parameters: Document) -> dict[str, object]:
    cells: dict[str, object] = {}
    for variants in metrics.values():
        for entry in variants.values():
            if not entry["metric"].startswith(":"):
                cells[Column("metric", entry["metric"], entry["variant"]).key] = entry.get("value")
    for section, items in parameters.items():
        for name, item in items.items() if section != summary.RETURNED else ():
            value = item.get("value") if isinstance(item, Mapping) else None
            if isinstance(value, str) and len(value) <= 80:
                cells[Column("parameter", section, name).key] = value
    return cells


def _column(key: str) -> Column | None:
    kind, group, name = (*key.split("|", 2), "", "")[:3]
    known = kind in ("metric", "parameter") and group and name and not set('"\\\0') & set(group + name)
    return Column(kind, group, name) if known else None
