"""The ``*_many`` calls: one action over a list of ids."""

from collections.abc import Callable

from server.dispatch import Call
from server.documents import Document
from server.errors import ApiError


def each(call: Call, ids: list[str], act: Callable[[str], Document]) -> Document:
    """Run ``act(id)`` for every id: one that fails is undone and reported, and stops no other."""
    succeeded: list[Document] = []
    failed: list[Document] = []
    for item_id in ids:
        call.db.execute("SAVEPOINT item")
        try:
            succeeded.append({"id": item_id, **act(item_id)})
        except ApiError as error:
            call.db.execute("ROLLBACK TO item")
            codes = [error.code, error.subcode]
            failed.append({"id": item_id, "error": {"codes": codes, "msg": error.message, "data": {}}})
        call.db.execute("RELEASE item")
    return {"succeeded": succeeded, "failed": failed}
