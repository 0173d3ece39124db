"""Models as documents: the registered weights."""

import sqlite3

from server import documents
from server.documents import Document
from server.errors import BadRequest
from server.query import Collection

MODELS = Collection(
    table="models",
    answer="models",
    columns={"id": "id", "name": "name", "project": "project", "task": "task"},
    values=frozenset({"project", "task", "framework", "uri", "user", "ready", "parent"}),
    dates=frozenset({"created", "last_update", "last_change"}),
)


class InvalidModel(BadRequest, subcode=201):
    """No model has this id."""


def load_model(db: sqlite3.Connection, model_id: str) -> Document:
    """Return the model; raises InvalidModel for an unknown id."""
    model = documents.find(db, "models", model_id)
    if model is None:
        raise InvalidModel(f"Invalid model id: id={model_id}, company={documents.COMPANY}")
    return model


def blank_model(now: str) -> Document:
    """Return a new model with default values."""
    return documents.blank(now) | {
        "name": "",
        "design": {},
        "labels": {},
        "ready": True,
        "last_change": now,
        "last_changed_by": documents.USER,
        "metadata": {},
        "last_iteration": 0,
        "last_metrics": {},
    }


def save_model(db: sqlite3.Connection, now: str, model: Document) -> Document:
    """Save the model whole, marked as changed; return the marks."""
    marks = {"last_change": now, "last_changed_by": documents.USER, "last_update": now}
    documents.save(db, "models", model | marks)
    return marks
