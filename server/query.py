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
from server.list_filters import Field, list_condition, structured_condition
from server.requests import Arguments, wrong_type

FIELD = re.compile(r"[^\"\\\x00]{1,300}")
LITERAL = re.compile(r"\^((?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*)\$")
COMPARISON = re.compile(r"(>=|<=|>|<|==|=)?\s*(\S.*)", re.DOTALL)
JOINTS = {"_all_": " AND ", "_and_": " AND ", "_any_": " OR ", "_or_": " OR "}
SEARCH = frozenset({"fields", "pattern", "datetime"})
SEARCHED = ("id", "name", "comment")

DOTTED = "*.*"
"""Stands for every dotted name among the arguments that a call reads."""

QUERIED = ("id", "name", "search_text", "tags", "system_tags", "filters", "allow_public", *JOINTS)
PAGED = ("order_by", "page", "page_size", "size", "scroll_id", "refresh_scroll", "only_fields")
TAGS = ("tags", "system_tags")


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

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of a ``get_all`` that ``translate`` and ``answers.fetch`` read."""
        return (*QUERIED, *PAGED, *sorted(self.values | self.dates), DOTTED)

    def field(self, name: str) -> Field:
        """Return the field for a filter by a list of values."""
        if name in TAGS:
            return Field(name, f"$.{name}", many=True)
        parameters: list[Any] = []
        return Field(name, self.expression(name, parameters), tuple(parameters))

    def is_value(self, name: str) -> bool:
        """Return True for a field that can be compared with values."""
        return name in self.values or ("." in name and not name.startswith("_"))


@dataclass
class Query:
    """A conjunction of SQL conditions with their bound values."""

    conditions: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def add(self, condition: str, *parameters: Any) -> None:
        """Add a condition, with its values in the order of its question marks."""
        self.conditions.append(condition)
        self.parameters.extend(parameters)

    def add_pattern(self, collection: Collection, name: str, pattern: str) -> None:
        """Add a regular expression that the field must match."""
        _pattern(collection, self, [name], pattern, " AND ")

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
    """Translate the filters among ``arguments``."""
    query = Query()
    if "id" in arguments:
        query.add("id IN (SELECT value FROM json_each(?))", json.dumps(arguments.texts("id")))
    if "name" in arguments:
        _pattern(collection, query, ["name"], arguments.text("name"), " AND ")
    if "search_text" in arguments:
        for word in arguments.text("search_text").split():
            _pattern(collection, query, list(SEARCHED), re.escape(word), " OR ", any_case=True)
    for name in arguments:
        if name in TAGS:
            _list(collection, query, name, arguments)
        elif name in collection.dates:
            _dates(collection, query, name, arguments.values(name))
        elif collection.is_value(name):
            _values(collection, query, name, arguments)
    for name, spec in arguments.mapping("filters").items():
        if name not in TAGS and not collection.is_value(name):
            raise InvalidArgument(
                f"Validation error: filters: {name!r:.80} is not a field of {collection.answer}"
            )
        sql, parameters = structured_condition(collection.field(name), spec)
        query.add(sql, *parameters)
    if not arguments.flag("allow_public", True):
        query.add(f"NOT {documents.IS_PUBLIC}")
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
    else:
        _list(collection, query, name, arguments)


def _list(collection: Collection, query: Query, name: str, arguments: Arguments) -> None:
    values = arguments.values(name)
    field = collection.field(name)
    if field.many or any(value is None or value.startswith("__$") for value in values):
        sql, parameters = list_condition(field, values)
        query.add(sql, *parameters)
    else:  # one bound value however long the list, and an index can serve it
        wanted = json.dumps(values)
        query.add(f"{field.expression} IN (SELECT value FROM json_each(?))", *field.parameters, wanted)


def _search(collection: Collection, query: Query, search: Document, joint: str) -> None:
    """Add a pattern, or comparisons with dates, that must hold for all or any of the fields."""
    unknown = sorted(search.keys() - SEARCH)
    if unknown:
        raise InvalidArgument(f"Validation error: {unknown[0]!r:.60} is not one of {sorted(SEARCH)}")
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
            _dates(collection, dates, name, options.values("datetime"))
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
        and any(item is not None for item in value)
        and all(item is None or type(item) in (int, float) for item in value)
    )


def _bounds(lower: float | None, upper: float | None) -> tuple[float, float]:
    return (-math.inf if lower is None else float(lower)), (math.inf if upper is None else float(upper))


def _dates(collection: Collection, query: Query, name: str, values: list[str | None]) -> None:
    """Add comparisons (``">=2020-01-01"``) or a range: a pair of dates, of which null is no limit."""
    comparisons = [COMPARISON.fullmatch(value.strip()) if value is not None else None for value in values]
    is_range = len(values) == 2 and not any(match and match[1] for match in comparisons)
    for place, (value, match) in enumerate(zip(values, comparisons, strict=True)):
        if value is None and is_range:
            continue
        if match is None:
            raise InvalidArgument(f"Validation error: {name}: {value!r:.80} is not a comparison with a date")
        try:
            moment = documents.parse_time(match[2]).astimezone(UTC).isoformat(timespec="microseconds")
        except (ValueError, OverflowError) as error:
            raise InvalidArgument(f"Validation error: {name}: {value!r:.80} is not a date") from error
        parameters: list[Any] = []
        expression = collection.expression(name, parameters)
        operator = (">=", "<=")[place] if is_range else match[1] or "="
        query.add(f"{expression} {operator} ?", *parameters, moment)
