"""The ``*_ex`` answers: where a document names another by id, the other's name is given too."""

from collections.abc import Mapping

from server import documents, identity
from server.arguments import Arguments
from server.dispatch import Call
from server.documents import Document, dig
from server.query import Collection, answer


def resolve(
    call: Call,
    collection: Collection,
    found: list[Document],
    references: Mapping[str, str],
    scroll: str | None,
) -> Document:
    """The answer of a ``get_all_ex``; ``references`` maps the dotted field to the table it points into.

    A reference asked for as a whole is ``{id}``; ``project.name`` among only_fields, or no only_fields at
    all, adds the name.
    """
    for path, table in references.items():
        ids = [
            document_id
            for document_id in (dig(document, path) for document in found)
            if isinstance(document_id, str)
        ]
        names = documents.names(call.db, table, ids)
        for document in found:
            _point(document, path, names)
    for document in found:
        document["company"] = {"id": identity.COMPANY, "name": identity.COMPANY_NAME}
        document["user"] = {"id": identity.USER, "name": identity.USER_NAME}
    return answer(collection, _narrowed(call.arguments, references), found, scroll)


def _point(document: Document, path: str, names: Mapping[str, str]) -> None:
    *parents, key = path.split(".")
    holder = dig(document, ".".join(parents)) if parents else document
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        document_id = holder[key]
        holder[key] = (
            {"id": document_id, "name": names[document_id]} if document_id in names else {"id": document_id}
        )


def _narrowed(arguments: Arguments, references: Mapping[str, str]) -> Arguments:
    fields = [name for name in arguments.texts("only_fields") if name != "*"]
    if not fields:
        return arguments
    whole = {*references, "company", "user"}
    return arguments.replaced(
        "only_fields", ["id", *(f"{name}.id" if name in whole else name for name in fields)]
    )
