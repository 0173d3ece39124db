"""Pages of documents as several services answer them, with expanded references."""

import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from server import documents
from server.dispatch import Call
from server.documents import Document, dig, project_fields
from server.errors import InvalidArgument
from server.query import Collection, Query
from server.requests import Arguments

LARGEST_PAGE = 10_000
SCROLL = re.compile("[0-9]{1,18}")
"""The number of documents that the scroll has returned."""


def fetch(
    db: sqlite3.Connection, collection: Collection, arguments: Arguments, query: Query
) -> tuple[list[Document], str | None]:
    """Return the requested page of documents and, for a scrolling request, the next scroll id."""
    parameters = list(query.parameters)
    order = _order(collection, arguments.texts("order_by"), parameters)
    limit, offset = _page(arguments)
    sql = f"SELECT doc FROM {collection.table} WHERE {query.where} ORDER BY {order} LIMIT ? OFFSET ?"
    rows = db.execute(sql, (*parameters, limit, offset)).fetchall()
    scroll = str(offset + len(rows)) if "size" in arguments else None
    return [json.loads(row["doc"]) for row in rows], scroll


def answer(
    collection: Collection, arguments: Arguments, documents: list[Document], scroll: str | None
) -> Document:
    """Return the data of a ``get_all``, reduced to ``only_fields``."""
    fields = [name for name in arguments.texts("only_fields") if name != "*"]
    if fields:
        documents = [project_fields(document, fields) for document in documents]
    return {collection.answer: documents} | ({"scroll_id": scroll} if scroll is not None else {})


def expand(
    call: Call,
    collection: Collection,
    page: list[Document],
    references: Mapping[str, str],
    scroll: str | None,
) -> Document:
    """Return the data of a ``get_all_ex``, in which references carry the name of what they point to.

    A reference requested as a whole is ``{id}``; ``project.name`` among only_fields, or no only_fields at
    all, adds the name.

    Args:
        call: The call; its ``only_fields`` apply.
        collection: The table of the documents.
        page: The documents, changed in place.
        references: Maps a dotted field to the table that it points into.
        scroll: The next scroll id, or None.
    """
    for path, table in references.items():
        ids = [
            document_id
            for document_id in (dig(document, path) for document in page)
            if isinstance(document_id, str)
        ]
        names = documents.names(call.db, table, ids)
        for document in page:
            _expand_reference(document, path, names)
    for document in page:
        public = document["company"] == documents.PUBLIC
        document["company"] = {"id": documents.PUBLIC} if public else dict(documents.COMPANY_REFERENCE)
        document["user"] = dict(documents.USER_REFERENCE)
    return answer(collection, _without_whole_references(call.arguments, references), page, scroll)


def _expand_reference(document: Document, path: str, names: Mapping[str, str]) -> None:
    *parents, key = path.split(".")
    holder = dig(document, ".".join(parents)) if parents else document
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        document_id = holder[key]
        holder[key] = (
            {"id": document_id, "name": names[document_id]} if document_id in names else {"id": document_id}
        )


def _without_whole_references(arguments: Arguments, references: Mapping[str, str]) -> Arguments:
    fields = [name for name in arguments.texts("only_fields") if name != "*"]
    if not fields:
        return arguments
    whole = {*references, "company", "user"}
    return arguments.replaced(
        "only_fields", ["id", *(f"{name}.id" if name in whole else name for name in fields)]
    )


def _order(collection: Collection, fields: list[str], parameters: list[Any]) -> str:
    terms = []
    for name in fields:
        direction = "DESC" if name.startswith("-") else "ASC NULLS LAST"
        terms.append(f"{collection.expression(name.removeprefix('-'), parameters)} {direction}")
    return ", ".join([*terms, "rowid"])


def _page(arguments: Arguments) -> tuple[int, int]:
    if "size" in arguments:
        match = arguments.scroll(SCROLL)
        offset = int(match[0]) if match else 0
        if offset and arguments.flag("refresh_scroll"):
            return offset, 0
        return min(max(arguments.integer("size", 0), 1), LARGEST_PAGE), offset
    size, page = arguments.integer("page_size", 0), arguments.integer("page", 0)
    if size < 0 or page < 0:
        raise InvalidArgument("Validation error: page and page_size cannot be negative")
    if not size:
        return -1, 0
    size = min(size, LARGEST_PAGE)
    return size, size * min(page, 2**40)
