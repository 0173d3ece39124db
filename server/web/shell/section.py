"""What a page function gets, and what it gives back."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server import documents
from server.dispatch import Api
from server.documents import Document
from server.errors import ServerError
from server.files.tree import Tree


class NotThere(ServerError):
    """The address names something that does not exist; the message is shown."""


@dataclass(frozen=True)
class Visit:
    """One request for a page: a snapshot of the database, and what the address says."""

    db: sqlite3.Connection
    calls: Api
    files: Tree
    path: Mapping[str, str]
    query: Mapping[str, str]
    chosen: tuple[str, ...] = ()

    def task(self) -> Document:
        """The task in the address; raises NotThere."""
        return self.document("tasks", self.path["task"], "task")

    def document(self, table: str, document_id: str, what: str) -> Document:
        """The document of that id; raises NotThere, which names `what`, if there is none."""
        found = documents.find(self.db, table, document_id)
        if found is None:
            raise NotThere(f"There is no such {what}")
        return found

    def integer(self, name: str, default: int = 0) -> int:
        """A number of the query; the default for what is none."""
        text = self.query.get(name, "")
        return int(text[:18]) if text.isascii() and text.isdigit() else default


@dataclass(frozen=True)
class Shown:
    """A template with its values."""

    template: str
    values: dict[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Picture:
    """An image with its media type."""

    kind: str
    content: bytes
