"""Models as documents: found, made, stored."""

import sqlite3

from server import documents, identity
from server.documents import Document, new_id
from server.errors import InvalidModel
from server.query import Collection

MODELS = Collection(
    table="models",
    answer="models",
    columns={"id": "id", "name": "name", "project": "project", "task": "task"},
    values=frozenset({"project", "task", "framework", "uri", "user", "ready", "parent"}),
    dates=frozenset({"created", "last_update", "last_change"}),
)


def load_model(db: sqlite3.Connection, model_id: str) -> Document:
    """Raises InvalidModel for an id that no model has."""
    model = documents.find(db, "models", model_id)
    if model is None:
        raise InvalidModel(f"Invalid model id: id={model_id}, company={identity.COMPANY}")
    return model


def blank_model(now: str) -> Document:
    """What a new model holds before anything is said about it."""
    return {
        "id": new_id(),
        "company": identity.COMPANY,
        "user": identity.USER,
        "name": "",
        "created": now,
        "tags": [],
        "system_tags": [],
        "design": {},
        "labels": {},
        "ready": True,
        "last_update": now,
        "last_change": now,
        "last_changed_by": identity.USER,
        "metadata": {},
        "last_iteration": 0,
        "last_metrics": {},
    }


def save_model(db: sqlite3.Connection, now: str, model: Document) -> Document:
    """Store the model whole, marked as changed; returns the marks."""
    marks = {"last_change": now, "last_changed_by": identity.USER, "last_update": now}
    documents.save(db, "models", model | marks)
    return marks
