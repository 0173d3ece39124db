"""The filters of ``get_all`` translated to SQL over the documents."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from server import documents
from server.database import compiled
from server.documents import Document
from server.errors import InvalidArgument
from server.requests import Arguments, wrong_type

FIELD = re.compile(r"[^\"\\\x00]{1,300}")
LITERAL = re.compile(r"\^((?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*)\$")
COMPARISON = re.compile(r"(>=|<=|>|<|==|=)?\s*(\S.*)", re.DOTALL)
JOINTS = {"_all_": " AND ", "_and_": " AND ", "_any_": " OR ", "_or_": " OR "}
SEARCHED = ("id", "name", "comment")

ALL = frozenset({"__$all", "__$and"})
ANY = frozenset({"__$or", "__$any"})
NOT = "__$not"


@dataclass(frozen=True)
class Collection:
    """A table's queryable fields: the indexed columns, plain values and dates."""

    table: str
    answer: str
    columns: Mapping[str, str]
    values: frozenset[str]
    dates: frozenset[str] = field(default_factory=frozenset)

    def expression(self, path: str, parameters: list[Any]) -> str:
        """Return SQL for the value at a dotted ``path``: the indexed column if there is one."""
        column = self.columns.get(path)
        if column:
            return column
        parameters.append(json_path(path))
        return "json_extract(doc, ?)"


@dataclass
class Query:
    """A conjunction of SQL conditions with their bound values."""

    conditions: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def add(self, condition: str, *parameters: Any) -> None:
        """Add a condition, with its values in the order of its question marks."""
        self.conditions.append(condition)
        self.parameters.extend(parameters)

    @property
    def where(self) -> str:
        """The conjunction in SQL, true if it is empty."""
        return " AND ".join(self.conditions) or "1"


def json_path(path: str) -> str:
    """Return SQLite's form of a dotted path; raises InvalidArgument for an impossible field name."""
    if not FIELD.fullmatch(path):
        raise InvalidArgument(f"Validation error: invalid field name {path!r:.80}")
    return "$" + "".join(f'."{key}"' for key in path.split("."))


def translate(collection: Collection, arguments: Arguments) -> Query:
    """Translate the filters among ``arguments``; other arguments are ignored."""
    query = Query()
    if "id" in arguments:
        query.add("id IN (SELECT value FROM json_each(?))", json.dumps(arguments.texts("id")))
    if "name" in arguments:
        _pattern(collection, query, ["name"], arguments.text("name"), " AND ")
    if "search_text" in arguments:
        for word in arguments.text("search_text").split():
            _pattern(collection, query, list(SEARCHED), re.escape(word), " OR ", any_case=True)
    for name in ("tags", "system_tags"):
        if name in arguments:
            query.add(*tag_condition(name, arguments.texts(name)))
    for name in arguments:
        if name in collection.dates:
            _dates(collection, query, name, arguments.texts(name))
        elif name in collection.values or ("." in name and not name.startswith("_")):
            _values(collection, query, name, arguments)
    for name, joint in JOINTS.items():
        if name in arguments:
            _search(collection, query, arguments.mapping(name), joint)
    return query


def literal(pattern: str) -> str | None:
    """Return the text that an anchored pattern without operators matches; None for a real pattern."""
    match = LITERAL.fullmatch(pattern)
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL) if match else None


def _values(collection: Collection, query: Query, name: str, arguments: Arguments) -> None:
    value = arguments.raw(name)
    parameters: list[Any] = []
    expression = collection.expression(name, parameters)
    if _is_range(value):
        lower, upper = value
        query.add(f"{expression} BETWEEN ? AND ?", *parameters, *_bounds(lower, upper))
    elif isinstance(value, bool):
        query.add(f"{expression} = ?", *parameters, int(value))
    elif isinstance(value, (str, list)):
        wanted = json.dumps(arguments.texts(name))
        query.add(f"{expression} IN (SELECT value FROM json_each(?))", *parameters, wanted)
    else:
        raise wrong_type(name, "array of string", value)


def _search(collection: Collection, query: Query, search: Document, joint: str) -> None:
    """Add a pattern, or comparisons with dates, that must hold for all or any of the fields."""
    options = Arguments(search)
    if "pattern" not in options and "datetime" not in options:
        return
    fields = options.texts("fields")
    if not fields:
        raise wrong_type("fields", "array of string", search.get("fields"))
    if "pattern" in options:
        _pattern(collection, query, fields, options.text("pattern"), joint, any_case=True)
    if "datetime" in options:
        alternatives = Query()
        for name in fields:
            dates = Query()
            _dates(collection, dates, name, options.texts("datetime"))
            alternatives.add(f"({dates.where})", *dates.parameters)
        query.add(f"({joint.join(alternatives.conditions)})", *alternatives.parameters)


def _pattern(
    collection: Collection,
    query: Query,
    fields: list[str],
    pattern: str,
    joint: str,
    any_case: bool = False,
) -> None:
    """Match the pattern in all or any of the fields; names respect case, searches ignore it."""
    wanted, test = literal(pattern), "= ? COLLATE NOCASE" if any_case else "= ?"
    if wanted is None or (any_case and not wanted.isascii()):  # NOCASE folds ASCII only
        wanted, test = f"(?i){pattern}" if any_case else pattern, "REGEXP ?"
        compiled(wanted)
    terms: list[str] = []
    parameters: list[Any] = []
    for name in fields:
        terms.append(f"{collection.expression(name, parameters)} {test}")
        parameters.append(wanted)
    query.add(f"({joint.join(terms)})", *parameters)


def _is_range(value: object) -> bool:
    """Recognize [lowest, highest], as the SDK's triggers filter metrics; None is no limit."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(item is None or type(item) in (int, float) for item in value)
    )


def _bounds(lower: float | None, upper: float | None) -> tuple[float, float]:
    return (-math.inf if lower is None else float(lower)), (math.inf if upper is None else float(upper))


def _dates(collection: Collection, query: Query, name: str, texts: list[str]) -> None:
    for text in texts:
        match = COMPARISON.fullmatch(text.strip())
        if match is None:
            raise InvalidArgument(f"Validation error: {name}: {text!r:.80} is not a comparison with a date")
        try:
            moment = documents.parse_time(match[2]).astimezone(UTC).isoformat(timespec="microseconds")
        except (ValueError, OverflowError) as error:
            raise InvalidArgument(f"Validation error: {name}: {text!r:.80} is not a date") from error
        parameters: list[Any] = []
        expression = collection.expression(name, parameters)
        query.add(f"{expression} {match[1] or '='} ?", *parameters, moment)


def tag_condition(field: str, tags: list[str]) -> tuple[str, *tuple[Any, ...]]:
    """Return SQL for a tag filter on the list ``field``, followed by its bound values.

    The SDK documents the filter language for ``Task.get_tasks(tags=...)``: ``["a", "b"]`` is a or b; ``"-a"``
    excludes; ``"__$all"`` (or ``"__$and"``) joins what follows by and, ``"__$or"`` (or ``"__$any"``) opens a
    group joined by or, ``"__$not"`` negates the next tag only.
    """
    has = f"EXISTS (SELECT 1 FROM json_each(doc, '$.{field}') WHERE value = ?)"
    groups = _groups(tags)
    conditions = [" OR ".join(has if wanted else f"NOT {has}" for _, wanted in group) for group in groups]
    values = [tag for group in groups for tag, _ in group]
    return " AND ".join(f"({condition})" for condition in conditions) or "1", *values


def _groups(tags: list[str]) -> list[list[tuple[str, bool]]]:
    """Parse the filter into groups of (tag, wanted); at least one of each group must hold."""
    alternatives: list[tuple[str, bool]] | None = []
    groups = [alternatives]
    negate = False
    for tag in tags:
        if tag in ALL:
            alternatives = None
        elif tag in ANY:
            alternatives = []
            groups.append(alternatives)
        elif tag == NOT:
            negate = True
        elif tag.startswith("-") and not negate:
            groups.append([(tag[1:], False)])
        else:
            if alternatives is None:
                groups.append([(tag, not negate)])
            else:
                alternatives.append((tag, not negate))
            negate = False
    return [group for group in groups if group]
