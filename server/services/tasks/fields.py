"""A task's fields: read from requests and checked, copied to clones."""

import copy
from collections.abc import Iterable
from typing import Any

from server.documents import Document, check_name
from server.errors import InvalidArgument
from server.requests import Arguments, wrong_type
from server.stores.tasks import blank_task

TEXTS = ("name", "type", "comment", "parent", "project")
LISTS = ("tags", "system_tags")
OBJECTS = ("script", "container", "runtime")
FIELDS = (*TEXTS, *LISTS, *OBJECTS, "hyperparams", "configuration", "execution", "models", "output_dest")
OVERRIDES = (
    "execution_overrides",
    "new_task_name",
    "new_task_comment",
    "new_task_parent",
    "new_task_project",
    "new_task_tags",
    "new_task_system_tags",
    "new_task_hyperparams",
    "new_task_configuration",
    "new_task_container",
    "new_task_input_models",
)

TYPES = frozenset(
    {
        "annotation",
        "annotation_manual",
        "application",
        "controller",
        "custom",
        "data_processing",
        "dataset_import",
        "inference",
        "monitor",
        "optimizer",
        "qc",
        "report",
        "service",
        "testing",
        "training",
    }
)
"""The SDK's task types, and that of the web page's reports."""


def read_task_fields(arguments: Arguments, now: str) -> Document:
    """Return the request's fields in the form of the task's document."""
    fields = arguments.chosen(TEXTS, LISTS, OBJECTS)
    check_name(fields)
    if "type" in fields and fields["type"] not in TYPES:
        raise InvalidArgument(f"Validation error: type: {fields['type']!r:.80} is not one of {sorted(TYPES)}")
    if "script" in fields:
        fields["script"] = {"requirements": {}, **fields["script"]}
    if "hyperparams" in arguments:
        fields["hyperparams"] = read_hyperparams(arguments.mapping("hyperparams"))
    if "configuration" in arguments:
        fields["configuration"] = read_items("configuration", arguments.mapping("configuration"))
    if "execution" in arguments:
        fields["execution"] = read_execution(arguments.mapping("execution"))
    if "models" in arguments:
        fields["models"] = read_models(arguments.mapping("models"), now)
    if "output_dest" in arguments:
        fields["output"] = {"destination": arguments.text("output_dest")}
    return fields


def read_hyperparams(sections: Document) -> Document:
    """Return section -> name -> parameter."""
    read = {name: read_items(f"hyperparams.{name}", items) for name, items in sections.items()}
    return {
        name: {key: {"section": name, **item} for key, item in items.items()} for name, items in read.items()
    }


def read_items(field: str, items: Any) -> Document:
    """Return name -> object; an object without a name gets its key as the name."""
    if not isinstance(items, dict):
        raise wrong_type(field, "object", items)
    for key, item in items.items():
        if not isinstance(item, dict):
            raise wrong_type(f"{field}.{key}", "object", item)
    return {key: {"name": key, **item} for key, item in items.items()}


def read_execution(execution: Document) -> Document:
    """Return the ``execution`` section with its artifacts checked and sorted."""
    artifacts = execution.get("artifacts")
    if artifacts is None:
        return {key: value for key, value in execution.items() if key != "artifacts"}
    if not isinstance(artifacts, list):
        raise wrong_type("execution.artifacts", "array of object", artifacts)
    return {**execution, "artifacts": sort_artifacts(read_artifact(artifact) for artifact in artifacts)}


def read_artifact(artifact: Any) -> Document:
    """Return one artifact, with mode ``output`` if it has none."""
    if not isinstance(artifact, dict) or not isinstance(artifact.get("key"), str):
        raise wrong_type("artifacts", "array of artifacts, each with a key", artifact)
    if not isinstance(artifact.get("mode", "output"), str):
        raise wrong_type("artifacts.mode", "string", artifact["mode"])
    return {"mode": "output", "display_data": [], **artifact}


def sort_artifacts(artifacts: Iterable[Document]) -> list[Document]:
    """Sort artifacts by key, as clients expect."""
    return sorted(artifacts, key=lambda artifact: (artifact["key"], artifact["mode"]))


def read_models(models: Document, now: str) -> Document:
    """Return ``input`` and ``output`` as lists of {name, model, updated}."""
    return {
        kind: [_read_model(kind, item, now) for item in _list(kind, models)] for kind in ("input", "output")
    }


def _list(kind: str, models: Document) -> list[Any]:
    items = models.get(kind)
    if items is not None and not isinstance(items, list):
        raise wrong_type(f"models.{kind}", "array of object", items)
    return items or []


def _read_model(kind: str, item: Any, now: str) -> Document:
    if not isinstance(item, dict) or not isinstance(item.get("model"), str):
        raise wrong_type(f"models.{kind}", "array of objects with name and model", item)
    if not isinstance(item.get("name", ""), str):
        raise wrong_type(f"models.{kind}.name", "string", item["name"])
    return {"name": item["model"], **item, "updated": now}


COPIED = ("type", "comment", "project", "script", "hyperparams", "configuration", "container", "tags")
DROPPED_TAGS = frozenset({"development", "archived"})


def clone_task(source: Document, arguments: Arguments, now: str) -> Document:
    """Return a draft with the source as its parent and the ``new_task_*`` arguments applied.

    User settings are copied; results of the source's run are not.
    """
    task = blank_task(now)
    task |= {name: copy.deepcopy(source[name]) for name in COPIED if name in source}
    task["name"] = f"Clone Of {source['name']}"
    task["parent"] = source["id"]
    task["system_tags"] = [tag for tag in source["system_tags"] if tag not in DROPPED_TAGS]
    task["execution"] = _execution(source, arguments)
    task["models"] = {"input": copy.deepcopy(source["models"].get("input", [])), "output": []}
    if "new_task_input_models" in arguments:
        inputs = arguments.mappings("new_task_input_models")
        task["models"] = read_models({"input": inputs}, now)
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
    check_name(fields)
    return fields
