"""Sections of the page: what a view receives, what it returns, and where it registers its address."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from server import documents
from server.dispatch import Api
from server.documents import Document
from server.errors import InvalidArgument, ServerError
from server.files.tree import Leftovers, Tree

Values = dict[str, Any]


class NotThere(ServerError):
    """The address names something that does not exist; the visitor sees the message."""


@dataclass(frozen=True)
class Visit:
    """One request for a page: a snapshot of the database, and what the address asks for.

    `chosen` holds every `ids` field of the query and `columns` every `column`, in order; `here` is the path.
    """

    db: sqlite3.Connection
    files: Tree
    path: Mapping[str, str]
    query: Mapping[str, str]
    chosen: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    here: str = "/"

    def task(self) -> Document:
        """Return the task in the address; raise NotThere if it does not exist."""
        return self.document("tasks", self.path["task"], "task")

    def document(self, table: str, document_id: str, noun: str) -> Document:
        """Return the document with that id; raise NotThere, which names the `noun`, if it does not exist."""
        document = documents.find(self.db, table, document_id)
        if document is None:
            raise NotThere(f"There is no such {noun}")
        return document

    def integer(self, name: str, default: int = 0) -> int:
        """Return a number of the query, or the default if it is missing or no number."""
        number = _number(self.query.get(name, ""))
        return default if number is None else number

    def number(self, name: str) -> int | None:
        """Return a number of the address, or None if it is no number."""
        return _number(self.path[name])

    def flag(self, name: str) -> bool:
        """Return True if the checkbox of that name is ticked."""
        return self.query.get(name) == "1"

    def page_links(self, size: int, count: int) -> Values:
        """Return where the pages before and after start, for a list read from `from` with `size + 1` rows."""
        start = self.integer("from")
        return {
            "newer": max(start - size, 0) if start else None,
            "older": start + size if count > size else None,
        }


def _number(text: str) -> int | None:
    # 18 digits fit the database's integers; more are a number that nothing has.
    return int(text[:18]) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True)
class Shown:
    """A template and its values."""

    template: str
    values: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """An image and its media type."""

    kind: str
    content: bytes


@dataclass(frozen=True)
class Download:
    """A text to be saved as a file of that name."""

    name: str
    text: str


class Form:
    """A submitted form: its fields in order, and the API that its action calls."""

    def __init__(self, api: Api, leftovers: Leftovers, fields: Sequence[tuple[str, str]]) -> None:
        """Keep the fields `(name, value)` as the browser sent them."""
        self.api = api
        self.leftovers = leftovers
        self._fields = fields

    def value(self, name: str) -> str:
        """Return the first field of that name, or an empty string."""
        return next((value for key, value in self._fields if key == name), "")

    def values(self, name: str) -> list[str]:
        """Return all fields of that name, in order."""
        return [value for key, value in self._fields if key == name]

    def rows(self, *names: str) -> list[tuple[str, ...]]:
        """Return fields that belong together, row by row; raise InvalidArgument if one is missing."""
        columns = [self.values(name) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise InvalidArgument(f"Validation error: the form needs equally many of: {', '.join(names)}")
        return list(zip(*columns, strict=True))


PageView = Callable[[Visit], Shown]
DataView = Callable[[Visit], object]
Act = Callable[[Form], str]


@dataclass(frozen=True)
class Action:
    """A form's action: returns the path to go to, where the page then shows the `done` message."""

    act: Act
    done: str


class Section:
    """The addresses and form actions of one noun. A view registers itself: it is known nowhere else."""

    def __init__(self) -> None:
        """Start without any address."""
        self.pages: dict[str, PageView] = {}
        self.data_views: dict[str, DataView] = {}
        self.actions: dict[str, Action] = {}
        self.navigation: list[tuple[str, str]] = []

    def page(self, *paths: str, link: str = "") -> Callable[[PageView], PageView]:
        """Serve a page under `paths`; `link` is the title of the first in the main navigation, if any."""

        def register(view: PageView) -> PageView:
            self.pages |= dict.fromkeys(paths, view)
            if link:
                self.navigation.append((paths[0], link))
            return view

        return register

    def data(self, path: str) -> Callable[[DataView], DataView]:
        """Serve under `path` what a page loads later: a Picture, a Download, or anything else as JSON."""

        def register(view: DataView) -> DataView:
            self.data_views[path] = view
            return view

        return register

    def action(self, name: str, done: str) -> Callable[[Act], Act]:
        """Run forms posted to `/actions/<name>`; `done` is what the page says afterwards."""

        def register(act: Act) -> Act:
            self.actions[name] = Action(act, done)
            return act

        return register
