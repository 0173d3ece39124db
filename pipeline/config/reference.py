"""Generated reference of the settings: the lower part of `docs/configuration.md`."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from planets.config import ConfigError
from planets.config.project import Config
from planets.config.training import ModelEntry
from planets.labels import LabelSet

BEGIN = "<!-- below: written by `make docs` from planets/config/project.py and configs/; edit those -->"
"""Line above the generated part of a page; the text before it is written by hand."""

WIDTH = 110
KINDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "greater than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}

Schema = Mapping[str, Any]


def update(page: Path, configs: Path) -> str:
    """Return the text of `page`, its generated part rebuilt from the pydantic models and `configs`.

    Raises:
        ConfigError: the page lacks the line above the generated part.
    """
    above, mark, _ = page.read_text(encoding="utf-8").partition(BEGIN)
    if not mark:
        raise ConfigError(f"{page}: the line {BEGIN!r} is missing; the settings are generated below it")
    return f"{above}{BEGIN}\n\n{settings(configs)}"


def settings(configs: Path) -> str:
    """Return all settings, one section per part of project.yaml; `models` lists the fields of an entry."""
    layers = {"": _tree(configs / "project.yaml")}
    layers |= {file.stem: _tree(file) for file in sorted((configs / "profiles").glob("*.yaml"))}
    schema = Config.model_json_schema()
    parts = []
    for name, field in schema["properties"].items():
        part = _resolved(field, schema)
        if name == "models":
            parts.append(_section(name, _doc(ModelEntry.model_json_schema()), [_file(layers), *_entry()]))
        elif "properties" in part:
            parts.append(_section(name, _doc(part), _items(part, schema, name, layers)))
        else:
            parts.append(_section(name, "", [_item(name, field, schema, layers)]))
    return "\n".join(parts)


def _tree(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def _section(name: str, doc: str, items: Iterator[str] | list[str]) -> str:
    return "\n".join([f"## {name}", "", *([doc, ""] if doc else []), *items, ""])


def _doc(schema: Schema) -> str:
    return textwrap.fill(" ".join(schema.get("description", "").split()), WIDTH)


def _items(part: Schema, schema: Schema, name: str, layers: Mapping[str, Any]) -> Iterator[str]:
    for key, field in part["properties"].items():
        below = _resolved(field, schema)
        if below.get("title") == LabelSet.__name__:  # a file name in YAML, its content in `Config`
            file = {"type": "string", "description": field["description"]}
            yield _item(f"{name}.{key}", file, schema, layers)
        elif "properties" in below:
            yield from _items(below, schema, f"{name}.{key}", layers)
        else:
            yield _item(f"{name}.{key}", field, schema, layers)


def _file(layers: Mapping[str, Any]) -> str:
    """Return the setting `models` itself, which is a file name in YAML and a list of entries in `Config`."""
    field = {"type": "string", "description": "file beside project.yaml that holds the entries"}
    return _item("models", field, field, layers)


def _entry() -> Iterator[str]:
    """Yield the fields of an entry; their values are in configs/models."""
    schema = ModelEntry.model_json_schema()
    for key, field in schema["properties"].items():
        needed = "required" if key in schema["required"] else "optional"
        yield _line(f"`{key}` ({_kind(_resolved(field, schema))}; {needed})", field, key)


def _item(dotted: str, field: Schema, schema: Schema, layers: Mapping[str, Any]) -> str:
    values = [(name, _value(tree, dotted.split("."))) for name, tree in layers.items()]
    shown = [f"{name} {value}".strip() for name, value in values if value]
    return _line(f"`{dotted}` ({_kind(_resolved(field, schema))}): {'; '.join(shown)}", field, dotted)


def _line(head: str, field: Schema, name: str) -> str:
    if not field.get("description"):
        raise ConfigError(f"the setting {name} has no description; add one to its Field")
    first, gap, rest = str(field["description"]).partition(" ")
    about = f"{first.capitalize() if first.strip(',').isalpha() else first}{gap}{rest}"
    return textwrap.fill(
        f"- {head}. {about}.", WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def _value(tree: Any, path: list[str]) -> str:
    """Return a value as YAML in code marks; empty if the file does not set it."""
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return ""
        tree = tree[part]
    text = yaml.safe_dump(tree, default_flow_style=True, width=1000).strip().removesuffix("...").strip()
    return f"`{text}`"


def _resolved(field: Schema, schema: Schema) -> Schema:
    if "$ref" not in field:
        return field
    return {**schema["$defs"][field["$ref"].rpartition("/")[2]], **field}


def _kind(field: Schema) -> str:
    if "enum" in field:
        return " | ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "object":
        below = field.get("additionalProperties")
        return f"mapping to {_kind(below)}" if isinstance(below, dict) else "mapping"
    above = "exclusiveMinimum" in field  # `minimum` beside it is pydantic's own and weaker
    limits = {key: text for key, text in BOUNDS.items() if not (above and key == "minimum")}
    bounds = [text.format(field[key]) for key, text in limits.items() if key in field]
    form = [f"form `{field['pattern']}`"] if "pattern" in field else []
    shortest = field.get("minLength", 0)
    some = [f"at least {shortest} characters"] if shortest > 1 else ["not empty"] if shortest else []
    return ", ".join([KINDS[field["type"]], *bounds, *form, *some])
