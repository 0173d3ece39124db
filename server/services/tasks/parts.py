"""Calls of the tasks service for single parts: hyperparameters, configuration, artifacts, models."""

from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidArgument
from server.services.tasks.fields import read_artifact, sort_artifacts
from server.stores.tasks import OPEN, attach_model, load_task, require_status, save_task

service = Service("tasks")

DRAFT = frozenset({"created"})
USER_PROPERTIES = "properties"


@service.writes("edit_hyper_params", "task", "hyperparams", "replace_hyperparams", "force")
def edit_hyper_params(call: Call) -> Document:
    """Set hyperparameters; ``replace_hyperparams`` (all, section) drops the others first."""
    items = call.arguments.mappings("hyperparams")
    replace = call.arguments.choice("replace_hyperparams", ("none", "section", "all"), "none")
    properties = replace != "all" and _are_properties(items)
    task = _task(call) if properties else _configurable(call)
    if replace == "all":
        task["hyperparams"] = {}
    elif replace == "section":
        for item in items:
            task["hyperparams"].pop(_string(item, "section"), None)
    for item in items:
        section = task["hyperparams"].setdefault(_string(item, "section"), {})
        section[_string(item, "name")] = item
    return _saved(call, task)


@service.writes("delete_hyper_params", "task", "hyperparams", "force")
def delete_hyper_params(call: Call) -> Document:
    """Remove hyperparameters; an item without a name removes its section."""
    items = call.arguments.mappings("hyperparams")
    task = _task(call) if _are_properties(items) else _configurable(call)
    for item in items:
        section = _string(item, "section")
        if item.get("name") is None:
            task["hyperparams"].pop(section, None)
        else:
            task["hyperparams"].get(section, {}).pop(_string(item, "name"), None)
    return _saved(call, task)


@service.reads("get_hyper_params", "tasks")
def get_hyper_params(call: Call) -> Document:
    """Return the hyperparameters of tasks as flat lists."""
    return {"params": [_parameters(load_task(call.db, task_id)) for task_id in call.arguments.texts("tasks")]}


@service.writes("edit_configuration", "task", "configuration", "replace_configuration", "force")
def edit_configuration(call: Call) -> Document:
    """Set configuration objects; ``replace_configuration`` drops the others."""
    task = _configurable(call)
    items = {_string(item, "name"): item for item in call.arguments.mappings("configuration")}
    kept = {} if call.arguments.flag("replace_configuration") else task["configuration"]
    task["configuration"] = kept | items
    return _saved(call, task)


@service.writes("delete_configuration", "task", "configuration", "force")
def delete_configuration(call: Call) -> Document:
    """Remove configuration objects by name."""
    task = _configurable(call)
    for name in call.arguments.texts("configuration"):
        task["configuration"].pop(name, None)
    return _saved(call, task)


@service.reads("get_configurations", "tasks", "names")
def get_configurations(call: Call) -> Document:
    """Return the configuration objects of tasks, all or those of ``names``."""
    wanted = set(call.arguments.texts("names"))
    configurations = []
    for task_id in call.arguments.texts("tasks"):
        items = load_task(call.db, task_id)["configuration"]
        chosen = [item for name, item in items.items() if not wanted or name in wanted]
        configurations.append({"task": task_id, "configuration": chosen})
    return {"configurations": configurations}


@service.reads("get_configuration_names", "tasks", "skip_empty")
def get_configuration_names(call: Call) -> Document:
    """Return the names of tasks' configuration objects, with ``skip_empty`` of those with a value."""
    skip = call.arguments.flag("skip_empty")
    configurations = []
    for task_id in call.arguments.texts("tasks"):
        items = load_task(call.db, task_id)["configuration"]
        names = sorted(name for name, item in items.items() if not skip or item.get("value"))
        configurations.append({"task": task_id, "names": names})
    return {"configurations": configurations}


@service.writes("add_or_update_artifacts", "task", "artifacts", "force")
def add_or_update_artifacts(call: Call) -> Document:
    """Add artifacts; one of the same key and mode is replaced."""
    task = _open(call)
    added = [read_artifact(artifact) for artifact in call.arguments.mappings("artifacts")]
    artifacts = [*task["execution"].get("artifacts", []), *added]
    latest = {(artifact["key"], artifact["mode"]): artifact for artifact in artifacts}
    task["execution"]["artifacts"] = sort_artifacts(latest.values())
    return _saved(call, task)


@service.writes("delete_artifacts", "task", "artifacts", "force")
def delete_artifacts(call: Call) -> Document:
    """Remove artifacts by key and mode; their files stay."""
    task = _open(call)
    gone = {(item["key"], item["mode"]) for item in map(read_artifact, call.arguments.mappings("artifacts"))}
    artifacts = task["execution"].get("artifacts", [])
    kept = [artifact for artifact in artifacts if (artifact["key"], artifact["mode"]) not in gone]
    task["execution"]["artifacts"] = kept
    return {"deleted": len(artifacts) - len(kept), **_saved(call, task)}


@service.writes("add_or_update_model", "task", "type", "name", "model", "iteration", "force")
def add_or_update_model(call: Call) -> Document:
    """Attach an input or output model, registered or not; one of the same name is replaced."""
    task = _open(call)
    kind, name, model = (call.arguments.text(argument) for argument in ("type", "name", "model"))
    if kind not in ("input", "output"):
        raise InvalidArgument(f"Validation error: type must be input or output, not {kind!r:.80}")
    attach_model(task, kind, name, model, call.now)
    task["last_iteration"] = max(task["last_iteration"], call.arguments.integer("iteration", 0))
    return _saved(call, task)


@service.writes("delete_models", "task", "models", "force")
def delete_models(call: Call) -> Document:
    """Detach models from a task; they stay in the registry."""
    task = _open(call)
    for item in call.arguments.mappings("models"):
        kind, name = _string(item, "type"), _string(item, "name")
        kept = [model for model in task["models"].get(kind, []) if model["name"] != name]
        task["models"] |= {kind: kept} if kind in ("input", "output") else {}
    return _saved(call, task)


def _task(call: Call) -> Document:
    return load_task(call.db, call.arguments.text("task"))


def _configurable(call: Call) -> Document:
    """Return the task if its configuration may change: a draft's or, with ``force``, that of an open run."""
    task = _task(call)
    require_status(task, OPEN if call.arguments.flag("force") else DRAFT)
    return task


def _open(call: Call) -> Document:
    """Return the task if its results may change: until its run has ended."""
    task = _task(call)
    require_status(task, OPEN)
    return task


def _are_properties(items: list[Document]) -> bool:
    """Return True for user properties, which can be edited at any time."""
    return bool(items) and all(item.get("section") == USER_PROPERTIES for item in items)


def _saved(call: Call, task: Document) -> Document:
    save_task(call.db, task, call.now)
    return {"updated": 1}


def _string(item: Document, name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise InvalidArgument(f"Validation error: {name} must be a string, got {value!r:.80}")
    return value


def _parameters(task: Document) -> Document:
    items = [item for section in task["hyperparams"].values() for item in section.values()]
    return {"task": task["id"], "hyperparams": items}
