"""A new task made of an old one: what was set is copied, what a run left is not."""

import copy

from server.arguments import Arguments
from server.documents import Document, new_id
from server.services.tasks.fields import read_execution, read_hyperparams, read_items
from server.stores.tasks import blank_task

COPIED = ("type", "comment", "project", "script", "hyperparams", "configuration", "container", "tags")
DROPPED_TAGS = frozenset({"development", "archived"})


def clone_task(source: Document, arguments: Arguments, now: str) -> Document:
    """A draft with the source as its parent, changed by the ``new_task_*`` arguments."""
    task = blank_task(new_id(), now)
    task |= {name: copy.deepcopy(source[name]) for name in COPIED if name in source}
    task["name"] = f"Clone Of {source['name']}"
    task["parent"] = source["id"]
    task["system_tags"] = [tag for tag in source["system_tags"] if tag not in DROPPED_TAGS]
    task["execution"] = _execution(source, arguments)
    task["models"] = {"input": copy.deepcopy(source["models"].get("input", [])), "output": []}
    if "destination" in source["output"]:
        task["output"] = {"destination": source["output"]["destination"]}
    return task | _overrides(arguments)


def _execution(source: Document, arguments: Arguments) -> Document:
    execution = {name: value for name, value in source["execution"].items() if name != "queue"}
    inputs = [artifact for artifact in execution.get("artifacts", []) if artifact.get("mode") == "input"]
    overrides = read_execution(arguments.mapping("execution_overrides"))
    return copy.deepcopy({**execution, "artifacts": inputs, **overrides})


def _overrides(arguments: Arguments) -> Document:
    fields: Document = {}
    for name in ("name", "comment", "parent", "project"):
        if f"new_task_{name}" in arguments:
            fields[name] = arguments.text(f"new_task_{name}")
    for name in ("tags", "system_tags"):
        if f"new_task_{name}" in arguments:
            fields[name] = arguments.texts(f"new_task_{name}")
    if "new_task_hyperparams" in arguments:
        fields["hyperparams"] = read_hyperparams(arguments.mapping("new_task_hyperparams"))
    if "new_task_configuration" in arguments:
        fields["configuration"] = read_items("configuration", arguments.mapping("new_task_configuration"))
    if "new_task_container" in arguments:
        fields["container"] = arguments.mapping("new_task_container")
    return fields
