"""The models service: the registry of trained weights."""

import sqlite3

from server import documents, identity
from server.answers import answer, each, fetch, resolve
from server.dispatch import Call, Service
from server.documents import Document, new_id
from server.errors import InvalidModel, ModelIsReady
from server.query import Collection, translate
from server.requests import Arguments, wrong_type
from server.stores.projects import destination
from server.stores.tasks import attach_model, load_task, save_task, touch

service = Service("models")

TEXTS = ("name", "comment", "framework", "parent", "project", "task", "uri")


@service.writes("create")
def create(call: Call) -> Document:
    """Register weights that lie at ``uri``; answers the new model's id."""
    call.arguments.require("name", "uri")
    model = blank_model(call.now) | _given(call)
    documents.insert(call.db, "models", model)
    return {"created": True, "id": model["id"]}


@service.reads("get_by_id")
def get_by_id(call: Call) -> Document:
    """One model, whole."""
    return {"model": load_model(call.db, call.arguments.text("model"))}


@service.reads("get_all")
def get_all(call: Call) -> Document:
    """The models that match the filters."""
    found, scroll = fetch(call.db, MODELS, call.arguments, translate(MODELS, call.arguments))
    return answer(MODELS, call.arguments, found, scroll)


@service.reads("get_all_ex")
def get_all_ex(call: Call) -> Document:
    """As ``get_all``, with project and task given by id and name."""
    found, scroll = fetch(call.db, MODELS, call.arguments, translate(MODELS, call.arguments))
    return resolve(call, MODELS, found, {"project": "projects", "task": "tasks"}, scroll)


@service.reads("get_by_task_id")
def get_by_task_id(call: Call) -> Document:
    """The latest model that a task made."""
    found = documents.where(call.db, "models", "task = ? ORDER BY rowid DESC", (call.arguments.text("task"),))
    if not found:
        raise InvalidModel(f"No model of task {call.arguments.text('task')}")
    return {"model": found[0]}


@service.reads("get_frameworks")
def get_frameworks(call: Call) -> Document:
    """The frameworks named by any model."""
    found = {model.get("framework") for model in documents.where(call.db, "models", "1")}
    return {"frameworks": sorted(name for name in found if name)}


@service.writes("edit")
def edit(call: Call) -> Document:
    """Change a model's fields."""
    return _change(call, {"ui_cache": {}, **_given(call)})


@service.writes("update")
def update(call: Call) -> Document:
    """Change a model's fields, as a running task does."""
    return _change(call, _given(call))


@service.writes("update_for_task")
def update_for_task(call: Call) -> Document:
    """The output model of a task: changed where there is one, made where there is none."""
    task = load_task(call.db, call.arguments.text("task"))
    outputs = task["models"].get("output", [])
    model_id = call.arguments.maybe_text("override_model_id") or (outputs[-1]["model"] if outputs else None)
    if model_id is None:
        model = (
            blank_model(call.now)
            | {"name": task["name"], "project": task.get("project"), "uri": ""}
            | _given(call)
        )
        documents.insert(call.db, "models", model)
    else:
        model = load_model(call.db, model_id) | _given(call)
        save_model(call.db, call.now, model)
    attach_model(task, "output", model["name"], model["id"], call.now)
    touch(task, call.now)
    save_task(call.db, task)
    return {
        "id": model["id"],
        "created": model_id is None,
        "updated": int(model_id is not None),
        "fields": _given(call),
    }


@service.writes("set_ready")
def set_ready(call: Call) -> Document:
    """Publish a model."""
    return _publish(call, call.arguments.text("model"))


@service.writes("publish_many")
def publish_many(call: Call) -> Document:
    """Publish models; one that fails stops no other."""
    return each(
        call, call.arguments.texts("ids"), lambda model_id: {"published": True, **_publish(call, model_id)}
    )


@service.writes("delete")
def delete(call: Call) -> Document:
    """Remove a model from the registry; its file stays, the answer says where."""
    return _delete(call, call.arguments.text("model"))


@service.writes("delete_many")
def delete_many(call: Call) -> Document:
    """Remove models; one that fails stops no other."""
    return each(call, call.arguments.texts("ids"), lambda model_id: _delete(call, model_id))


@service.writes("archive_many")
def archive_many(call: Call) -> Document:
    """Put models out of sight, to be brought back by ``unarchive_many``."""
    return each(
        call, call.arguments.texts("ids"), lambda model_id: {"archived": _tag(call, model_id, archive=True)}
    )


@service.writes("unarchive_many")
def unarchive_many(call: Call) -> Document:
    """Bring archived models back."""
    return each(
        call,
        call.arguments.texts("ids"),
        lambda model_id: {"unarchived": _tag(call, model_id, archive=False)},
    )


@service.writes("move")
def move(call: Call) -> Document:
    """Move models to a project, made by ``project_name`` if there is none."""
    project = destination(call.db, call.arguments, call.now)
    for model_id in call.arguments.texts("ids"):
        save_model(call.db, call.now, load_model(call.db, model_id) | {"project": project})
    return {"project_id": project, "updated": len(call.arguments.texts("ids"))}


@service.writes("add_or_update_metadata")
def add_or_update_metadata(call: Call) -> Document:
    """Add metadata items; one of the same key is replaced."""
    model = load_model(call.db, call.arguments.text("model"))
    model["metadata"] = merged(model["metadata"], call.arguments)
    save_model(call.db, call.now, model)
    return {"updated": 1}


@service.writes("delete_metadata")
def delete_metadata(call: Call) -> Document:
    """Remove the metadata items of these keys."""
    model = load_model(call.db, call.arguments.text("model"))
    gone = set(call.arguments.texts("keys"))
    model["metadata"] = {key: item for key, item in model["metadata"].items() if key not in gone}
    save_model(call.db, call.now, model)
    return {"updated": 1}


def _given(call: Call) -> Document:
    """The fields of a model that the call sets."""
    arguments = call.arguments
    fields: Document = {name: arguments.text(name) for name in TEXTS if name in arguments}
    fields |= {
        name: sorted(set(arguments.texts(name))) for name in ("tags", "system_tags") if name in arguments
    }
    fields |= {name: arguments.mapping(name) for name in ("design", "labels") if name in arguments}
    if "ready" in arguments:
        fields["ready"] = arguments.flag("ready")
    if "iteration" in arguments:
        fields["last_iteration"] = arguments.integer("iteration", 0)
    if "metadata" in arguments:
        fields["metadata"] = merged({}, arguments)
    return fields


def _change(call: Call, fields: Document) -> Document:
    model = load_model(call.db, call.arguments.text("model"))
    return {"fields": fields | save_model(call.db, call.now, model | fields), "updated": 1}


def _publish(call: Call, model_id: str) -> Document:
    model = load_model(call.db, model_id)
    if model["ready"] and not call.arguments.flag("force_publish_task"):
        return {"updated": 0, "published_task": None}
    save_model(call.db, call.now, model | {"ready": True})
    return {"updated": 1, "published_task": None}


def _delete(call: Call, model_id: str) -> Document:
    model = load_model(call.db, model_id)
    if model["ready"] and not call.arguments.flag("force"):
        raise ModelIsReady(f"Model is published, use force=true to delete: id={model_id}")
    documents.delete(call.db, "models", model_id)
    return {"deleted": True, "url": model.get("uri")}


def _tag(call: Call, model_id: str, archive: bool) -> bool:
    model = load_model(call.db, model_id)
    kept = [tag for tag in model["system_tags"] if tag != "archived"]
    save_model(call.db, call.now, model | {"system_tags": [*kept, "archived"] if archive else kept})
    return True


def merged(kept: Document, arguments: Arguments, replace_flag: str = "replace_metadata") -> Document:
    """The metadata after the request's ``metadata`` items came in."""
    items = {_key(item): item for item in arguments.mappings("metadata")}
    return items if arguments.flag(replace_flag) else kept | items


def _key(item: Document) -> str:
    key = item.get("key")
    if not isinstance(key, str):
        raise wrong_type("metadata", "array of objects with a key", item)
    return key


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
