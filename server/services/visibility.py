"""Calls that make tasks, models and projects public, and private again.

A public document belongs to no company. There is one here, so everybody sees both kinds;
``allow_public: false`` leaves the public ones out of a list.
"""

import sqlite3
from collections.abc import Callable

from server import documents
from server.dispatch import Call, Handler, Service
from server.documents import Document
from server.stores.models import load_model
from server.stores.projects import load_project
from server.stores.tasks import load_task

tasks = Service("tasks")
models = Service("models")
projects = Service("projects")


def _serve(service: Service, load: Callable[[sqlite3.Connection, str], Document]) -> None:
    def give(company: str) -> Handler:
        def handler(call: Call) -> Document:
            updated = 0
            for document_id in call.arguments.texts("ids"):
                document = load(call.db, document_id)
                if document["company"] != company:
                    documents.save(call.db, service.name, document | {"company": company})
                    updated += 1
            return {"updated": updated}

        return handler

    service.writes("make_public", "ids")(give(documents.PUBLIC))
    service.writes("make_private", "ids")(give(documents.COMPANY))


_serve(tasks, load_task)
_serve(models, load_model)
_serve(projects, load_project)
