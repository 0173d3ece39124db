"""Metadata of models and queues: {key, type, value} items kept by their key."""

from server.arguments import Arguments, wrong_type
from server.documents import Document


def merged(kept: Document, arguments: Arguments, replace_flag: str = "replace_metadata") -> Document:
    """The metadata after the request's ``metadata`` items came in."""
    items = {_key(item): item for item in arguments.mappings("metadata")}
    return items if arguments.flag(replace_flag) else kept | items


def _key(item: Document) -> str:
    key = item.get("key")
    if not isinstance(key, str):
        raise wrong_type("metadata", "array of objects with a key", item)
    return key
