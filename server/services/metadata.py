"""Metadata of models and queues: items of a key, a type and a value."""

from server.dispatch import Call, Service
from server.documents import Document
from server.requests import Arguments, wrong_type
from server.stores.models import load_model, save_model
from server.stores.queues import load_queue, touch_queue

models = Service("models")
queues = Service("queues", version="2.4")

ITEMS = ("metadata", "replace_metadata")


@models.writes("add_or_update_metadata", "model", *ITEMS)
def add_to_model(call: Call) -> Document:
    """Add metadata items to a model; one of the same key is replaced."""
    model = load_model(call.db, call.arguments.text("model"))
    model["metadata"] = merged_metadata(model["metadata"], call.arguments)
    save_model(call.db, call.now, model)
    return {"updated": 1}


@models.writes("delete_metadata", "model", "keys")
def delete_from_model(call: Call) -> Document:
    """Remove the metadata items of these keys from a model."""
    model = load_model(call.db, call.arguments.text("model"))
    model["metadata"] = _without(model["metadata"], call.arguments)
    save_model(call.db, call.now, model)
    return {"updated": 1}


@queues.writes("add_or_update_metadata", "queue", *ITEMS)
def add_to_queue(call: Call) -> Document:
    """Add metadata items to a queue; one of the same key is replaced."""
    call.arguments.require("metadata")
    queue = load_queue(call.db, call.arguments.text("queue"))
    queue["metadata"] = merged_metadata(queue["metadata"], call.arguments)
    touch_queue(call.db, queue, call.now)
    return {"updated": 1}


@queues.writes("delete_metadata", "queue", "keys")
def delete_from_queue(call: Call) -> Document:
    """Remove the metadata items of these keys from a queue."""
    queue = load_queue(call.db, call.arguments.text("queue"))
    queue["metadata"] = _without(queue["metadata"], call.arguments)
    touch_queue(call.db, queue, call.now)
    return {"updated": 1}


def merged_metadata(kept: Document, arguments: Arguments) -> Document:
    """Return the metadata with the request's items, a list or an object by key, merged in."""
    metadata = arguments.raw("metadata")
    if isinstance(metadata, dict):
        arguments = arguments.replaced(
            "metadata",
            [{"key": key, **item} if isinstance(item, dict) else item for key, item in metadata.items()],
        )
    items = {_key(item): item for item in arguments.mappings("metadata")}
    return items if arguments.flag("replace_metadata") else kept | items


def _without(metadata: Document, arguments: Arguments) -> Document:
    gone = set(arguments.texts("keys"))
    return {key: item for key, item in metadata.items() if key not in gone}


def _key(item: Document) -> str:
    key = item.get("key")
    if not isinstance(key, str):
        raise wrong_type("metadata", "array of objects with a key", item)
    return key
