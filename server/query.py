"""The filters of ``get_all`` translated to SQL over the documents."""

import json
import math
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from server import clock
from server.arguments import Arguments, wrong_type
from server.documents import Document, project_fields
from server.errors import InvalidArgument
from server.patterns import compiled
from server.tags import tag_condition

FIELD = re.compile(r"[^\"\\\x00]{1,300}")
LITERAL = re.compile(r"\^((?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*)\$")
COMPARISON = re.compile(r"(>=|<=|>|<|==|=)?\s*(\S.*)", re.DOTALL)
JOINTS = {"_all_": " AND ", "_and_": " AND ", "_any_": " OR ", "_or_": " OR "}
SEARCHED = ("id", "name", "comment")
LARGEST_PAGE = 10_000


@dataclass(frozen=True)
class Collection:
    """What can be asked of a table: its indexed columns and the kinds of its fields."""

    table: str
    answer: str
    columns: Mapping[str, str]
    values: frozenset[str]
    dates: frozenset[str] = field(default_factory=frozenset)

    def expression(self, path: str, parameters: list[Any]) -> str:
        """SQL for the value at a dotted ``path``: the indexed column where there is one."""
        column = self.columns.get(path)
        if column:
            return column
        parameters.append(json_path(path))
        return "json_extract(doc, ?)"


@dataclass
class Query:
    """A condition in the making, with the values bound to it."""

    conditions: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def add(self, condition: str, *parameters: Any) -> None:
        """One more condition, with its values in the order of its question marks."""
        self.conditions.append(condition)
        self.parameters.extend(parameters)

    @property
    def where(self) -> str:
        """The whole condition in SQL, true if there is none."""
        return " AND ".join(self.conditions) or "1"


def json_path(path: str) -> str:
    """SQLite's form of a dotted path; raises InvalidArgument for one that no document can have."""
    if not FIELD.fullmatch(path):
        raise InvalidArgument(f"Validation error: invalid field name {path!r:.80}")
    return "$" + "".join(f'."{key}"' for key in path.split("."))


def translate(collection: Collection, arguments: Arguments) -> Query:
    """The condition that the filters among ``arguments`` state; what is no filter is left alone."""
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


def fetch(
    db: sqlite3.Connection, collection: Collection, arguments: Arguments, query: Query
) -> tuple[list[Document], str | None]:
    """The page of documents asked for, and the scroll id of the next page where scrolling was asked for."""
    parameters = list(query.parameters)
    order = _order(collection, arguments.texts("order_by"), parameters)
    limit, offset = _page(arguments)
    sql = f"SELECT doc FROM {collection.table} WHERE {query.where} ORDER BY {order} LIMIT ? OFFSET ?"
    rows = db.execute(sql, (*parameters, limit, offset)).fetchall()
    scroll = str(offset + len(rows)) if "size" in arguments else None
    return [json.loads(row["doc"]) for row in rows], scroll


def answer(
    collection: Collection, arguments: Arguments, documents: list[Document], scroll: str | None
) -> Document:
    """The data of a ``get_all``: only the fields asked for."""
    fields = [name for name in arguments.texts("only_fields") if name != "*"]
    if fields:
        documents = [project_fields(document, fields) for document in documents]
    return {collection.answer: documents} | ({"scroll_id": scroll} if scroll is not None else {})


def literal(pattern: str) -> str | None:
    """The one text that an anchored pattern without operators matches, or None for a real pattern."""
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
    """A regular expression, or comparisons with dates, that hold for all or for any of the fields."""
    given = Arguments(search)
    if "pattern" not in given and "datetime" not in given:
        return
    fields = given.texts("fields")
    if not fields:
        raise wrong_type("fields", "array of string", search.get("fields"))
    if "pattern" in given:
        _pattern(collection, query, fields, given.text("pattern"), joint, any_case=True)
    if "datetime" in given:
        alternatives = Query()
        for name in fields:
            dates = Query()
            _dates(collection, dates, name, given.texts("datetime"))
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
    """The pattern is found in all or any of the fields: a name in its case, what is searched in any case."""
    wanted, test = literal(pattern), "= ? COLLATE NOCASE" if any_case else "= ?"
    if wanted is None or (any_case and not wanted.isascii()):  # NOCASE knows the case of ASCII alone
        wanted, test = f"(?i){pattern}" if any_case else pattern, "REGEXP ?"
        compiled(wanted)
    terms: list[str] = []
    parameters: list[Any] = []
    for name in fields:
        terms.append(f"{collection.expression(name, parameters)} {test}")
        parameters.append(wanted)
    query.add(f"({joint.join(terms)})", *parameters)


def _is_range(value: object) -> bool:
    """[lowest, highest], as the SDK's triggers ask for metrics; None is no limit."""
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
            moment = clock.parse(match[2]).astimezone(UTC).isoformat(timespec="microseconds")
        except (ValueError, OverflowError) as error:
            raise InvalidArgument(f"Validation error: {name}: {text!r:.80} is not a date") from error
        parameters: list[Any] = []
        expression = collection.expression(name, parameters)
        query.add(f"{expression} {match[1] or '='} ?", *parameters, moment)


def _order(collection: Collection, fields: list[str], parameters: list[Any]) -> str:
    terms = []
    for name in fields:
        direction = "DESC" if name.startswith("-") else "ASC"
        terms.append(f"{collection.expression(name.removeprefix('-'), parameters)} {direction}")
    return ", ".join([*terms, "rowid"])


def _page(arguments: Arguments) -> tuple[int, int]:
    if "size" in arguments:
        scroll = arguments.maybe_text("scroll_id") or "0"
        offset = int(scroll[:18]) if scroll.isascii() and scroll.isdigit() else 0
        return min(max(arguments.integer("size", 0), 1), LARGEST_PAGE), offset
    size, page = arguments.integer("page_size", 0), arguments.integer("page", 0)
    if size < 0 or page < 0:
        raise InvalidArgument("Validation error: page and page_size cannot be negative")
    if not size:
        return -1, 0
    size = min(size, LARGEST_PAGE)
    return size, size * min(page, 2**40)
