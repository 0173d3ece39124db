"""The models service: the registry of trained weights."""

from server import documents
from server.answers import answer, expand, fetch
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import BadRequest, InvalidArgument
from server.query import TAGS, translate
from server.services.metadata import merged_metadata
from server.services.tasks.status import publish_task
from server.stores.models import MODELS, InvalidModel, blank_model, load_model, save_model
from server.stores.projects import destination, with_subprojects
from server.stores.tasks import attach_model, load_task, save_task

service = Service("models")

TEXTS = ("name", "comment", "framework", "parent", "project", "task", "uri")
OBJECTS = ("design", "labels")
FIELDS = (*TEXTS, *TAGS, *OBJECTS, "ready", "iteration", "metadata")
FOUND = ("include_subprojects", *MODELS.arguments)
REFERENCES = {"project": "projects", "parent": "models"}


class ModelIsReady(BadRequest, subcode=203):
    """A published model cannot be published again, and is deleted only with ``force``."""


@service.writes("create", *FIELDS)
def create(call: Call) -> Document:
    """Register the weights at ``uri`` and return the new model's id."""
    if "uri" not in call.arguments:
        raise InvalidArgument("Validation error: uri is required to create a model")
    call.arguments.require("name")
    model = blank_model(call.now) | _fields_of(call)
    documents.insert(call.db, "models", model)
    return {"created": True, "id": model["id"]}


@service.reads("get_by_id", "model")
def get_by_id(call: Call) -> Document:
    """Return one model, whole."""
    return {"model": load_model(call.db, call.arguments.text("model"))}


@service.reads("get_all", *FOUND)
def get_all(call: Call) -> Document:
    """Return the models that match the filters."""
    page, scroll = _page(call)
    return answer(MODELS, call.arguments, page, scroll)


@service.reads("get_all_ex", *FOUND)
def get_all_ex(call: Call) -> Document:
    """Return the same as ``get_all``, with id and name of project and task."""
    page, scroll = _page(call)
    return expand(call, MODELS, page, {"project": "projects", "task": "tasks"}, scroll)


@service.reads("get_by_task_id", "task")
def get_by_task_id(call: Call) -> Document:
    """Return the latest model of a task."""
    models = documents.where(
        call.db, "models", "task = ? ORDER BY rowid DESC", (call.arguments.text("task"),)
    )
    if not models:
        raise InvalidModel(f"No model of task {call.arguments.text('task')}")
    return {"model": models[0]}


@service.reads("get_frameworks", "projects")
def get_frameworks(call: Call) -> Document:
    """Return the frameworks of the models, in all projects or the named ones."""
    projects = set(call.arguments.texts("projects"))
    models = documents.where(call.db, "models", "1")
    frameworks = {
        model.get("framework") for model in models if not projects or model.get("project") in projects
    }
    return {"frameworks": sorted(name for name in frameworks if name)}


@service.writes("edit", "model", *FIELDS)
def edit(call: Call) -> Document:
    """Change a model's fields."""
    return _change(call, {"ui_cache": {}, **_fields_of(call)})


@service.writes("update", "model", *FIELDS)
def update(call: Call) -> Document:
    """Change a model's fields, as a running task does."""
    return _change(call, _fields_of(call))


@service.writes("update_for_task", "override_model_id", *FIELDS)
def update_for_task(call: Call) -> Document:
    """Change the output model of a task, created if it has none."""
    task = load_task(call.db, call.arguments.text("task"))
    outputs = task["models"].get("output", [])
    model_id = call.arguments.maybe_text("override_model_id") or (outputs[-1]["model"] if outputs else None)
    if model_id is None:
        model = (
            blank_model(call.now)
            | {"name": task["name"], "project": task.get("project"), "uri": ""}
            | _fields_of(call)
        )
        documents.insert(call.db, "models", model)
    else:
        model = load_model(call.db, model_id) | _fields_of(call)
        save_model(call.db, call.now, model)
    attach_model(task, "output", model["name"], model["id"], call.now)
    save_task(call.db, task, call.now)
    return {
        "id": model["id"],
        "created": model_id is None,
        "updated": int(model_id is not None),
        "fields": _fields_of(call),
    }


@service.writes_one("set_ready", "model", "publish_task", "force_publish_task")
@service.writes_each("publish_many", "publish_tasks", "force_publish_task", published=True)
def publish(call: Call, model_id: str) -> Document:
    """Publish a model and the task that made it.

    ``publish_task`` and, in ``publish_many``, ``publish_tasks`` can turn the task's part off.

    Raises:
        ModelIsReady: It is published.
        InvalidTaskStatus: Its task has not ended.
    """
    model = load_model(call.db, model_id)
    if model["ready"]:
        raise ModelIsReady(f"Model is ready, it is published: id={model_id}")
    save_model(call.db, call.now, model | {"ready": True})
    task = documents.find(call.db, "tasks", model.get("task") or "")
    wanted = call.arguments.flag("publish_task", True) and call.arguments.flag("publish_tasks", True)
    if task is None or task["status"] == "published" or not wanted:
        return {"updated": 1, "published_task": None}
    published = publish_task(call, task["id"], call.arguments.flag("force_publish_task"))
    return {"updated": 1, "published_task": {"id": task["id"], "data": published}}


@service.writes_one("delete", "model", "force")
@service.writes_each("delete_many", "force")
def delete(call: Call, model_id: str) -> Document:
    """Remove a model from the registry and return the URL of its file, which stays."""
    model = load_model(call.db, model_id)
    if model["ready"] and not call.arguments.flag("force"):
        raise ModelIsReady(f"Model is published, use force=true to delete: id={model_id}")
    documents.delete(call.db, "models", model_id)
    return {"deleted": True, "url": model.get("uri")}


@service.writes_each("archive_many")
def archive(call: Call, model_id: str) -> Document:
    """Archive a model."""
    model = load_model(call.db, model_id)
    tags = [tag for tag in model["system_tags"] if tag != "archived"]
    save_model(call.db, call.now, model | {"system_tags": [*tags, "archived"]})
    return {"archived": True}


@service.writes_each("unarchive_many")
def unarchive(call: Call, model_id: str) -> Document:
    """Restore an archived model."""
    model = load_model(call.db, model_id)
    tags = [tag for tag in model["system_tags"] if tag != "archived"]
    save_model(call.db, call.now, model | {"system_tags": tags})
    return {"unarchived": True}


@service.writes("move", "ids", "project", "project_name")
def move(call: Call) -> Document:
    """Move models to a project, created if ``project_name`` is new."""
    project = destination(call.db, call.arguments, call.now)
    for model_id in call.arguments.texts("ids"):
        save_model(call.db, call.now, load_model(call.db, model_id) | {"project": project})
    return {"project_id": project, "updated": len(call.arguments.texts("ids"))}


def _page(call: Call) -> tuple[list[Document], str | None]:
    query = translate(MODELS, with_subprojects(call.db, call.arguments))
    return fetch(call.db, MODELS, call.arguments, query)


def _fields_of(call: Call) -> Document:
    """Return the fields of a model that the call sets."""
    arguments = call.arguments
    fields = arguments.chosen(TEXTS, TAGS, OBJECTS)
    documents.check_name(fields)
    documents.check_references(call.db, fields, REFERENCES)
    if "ready" in arguments:
        fields["ready"] = arguments.flag("ready")
    if "iteration" in arguments:
        fields["last_iteration"] = arguments.integer("iteration", 0)
    if "metadata" in arguments:
        fields["metadata"] = merged_metadata({}, arguments)
    return fields


def _change(call: Call, fields: Document) -> Document:
    model = load_model(call.db, call.arguments.text("model"))
    return {"fields": fields | save_model(call.db, call.now, model | fields), "updated": 1}
