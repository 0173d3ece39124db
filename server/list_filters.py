"""Filters by lists of values, for tags, statuses and other fields, translated to SQL.

The SDK documents the language for ``Task.get_tasks(tags=...)``: ``["a", "b"]`` is a or b; ``"-a"`` excludes
a tag; ``"__$all"`` (or ``"__$and"``) joins what follows by and, ``"__$or"`` (or ``"__$any"``) opens a group
joined by or; ``"__$not"`` negates the next value only. Null stands for no value: ``[null]`` finds documents
without tags. The argument ``filters`` states the same as an object: {any, all: {include, exclude}, op}.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server.documents import Document
from server.errors import InvalidArgument
from server.requests import wrong_type

ALL = frozenset({"__$all", "__$and"})
ANY = frozenset({"__$or", "__$any"})
NOT = "__$not"

Value = str | None
Term = tuple[Value, bool]
"""A value and whether the field must have it."""

Condition = tuple[str, list[Any]]
"""SQL with the values of its question marks."""

TRUE: Condition = ("1", [])


@dataclass(frozen=True)
class Field:
    """A field of documents in SQL: one value or, with ``many``, the path to a list of values."""

    name: str
    expression: str
    parameters: tuple[Any, ...] = ()
    many: bool = False

    def has(self, value: Value) -> Condition:
        """Return the test for a value; for None, that the field is empty."""
        if not self.many:
            return f"{self.expression} IS ?", [*self.parameters, value]
        if value is None:
            return f"coalesce(json_array_length(doc, '{self.expression}'), 0) = 0", []
        return f"EXISTS (SELECT 1 FROM json_each(doc, '{self.expression}') WHERE value = ?)", [value]


def list_condition(field: Field, values: Sequence[Value]) -> Condition:
    """Return the condition that a list of values and operators states."""
    return _joined(" AND ", [_group(field, group) for group in _groups(field, values)])


def structured_condition(field: Field, spec: Any) -> Condition:
    """Return the condition of one field of ``filters``; an empty list means that the field is empty.

    Raises:
        InvalidArgument: The object has other keys, or a value of another type.
    """
    name = f"filters.{field.name}"
    if isinstance(spec, list):
        return list_condition(field, _values(name, spec) or [None])
    if not isinstance(spec, dict):
        raise wrong_type(name, "object", spec)
    _check_keys(name, spec, {"any", "all", "op"})
    op = spec.get("op") or "and"
    if op not in ("and", "or"):
        raise InvalidArgument(f"Validation error: {name}.op: {op!r:.40} is neither 'and' nor 'or'")
    conditions = []
    for kind, joint in (("any", " OR "), ("all", " AND ")):
        part = spec.get(kind) or {}
        if not isinstance(part, dict):
            raise wrong_type(f"{name}.{kind}", "object", part)
        _check_keys(f"{name}.{kind}", part, {"include", "exclude"})
        include, exclude = (_values(f"{name}.{kind}.{key}", part.get(key)) for key in ("include", "exclude"))
        if include == [] and not exclude:
            include = [None]
        if include:
            conditions.append(_joined(joint, [field.has(value) for value in include]))
        if exclude:
            sql, parameters = _joined(joint, [field.has(value) for value in exclude])
            conditions.append((f"NOT {sql}", parameters))
    return _joined(f" {op.upper()} ", conditions)


def _groups(field: Field, values: Iterable[Value]) -> list[list[Term]]:
    """Parse a list into groups of terms: every group must hold, by at least one of its terms."""
    groups: list[list[Term]] = []
    alternatives: list[Term] | None = []
    explicit = negate = False
    for value in values:
        if value in ALL or value in ANY:
            groups += [alternatives] if alternatives else []
            explicit, alternatives = True, [] if value in ANY else None
        elif value == NOT:
            negate = True
        elif field.many and value is not None and value.startswith("-") and not negate:
            groups.append([(value[1:], False)])
        elif alternatives is None or (negate and not explicit):
            groups.append([(value, not negate)])
            negate = False
        else:
            alternatives.append((value, not negate))
            negate = False
    return groups + ([alternatives] if alternatives else [])


def _group(field: Field, group: list[Term]) -> Condition:
    conditions = []
    for value, wanted in group:
        sql, parameters = field.has(value)
        conditions.append((sql if wanted else f"NOT ({sql})", parameters))
    return _joined(" OR ", conditions)


def _joined(joint: str, conditions: Sequence[Condition]) -> Condition:
    if not conditions:
        return TRUE
    parameters = [value for _, values in conditions for value in values]
    return "(" + joint.join(sql for sql, _ in conditions) + ")", parameters


def _values(name: str, values: Any) -> list[Value] | None:
    if values is not None and not (
        isinstance(values, list) and all(isinstance(value, str | None) for value in values)
    ):
        raise wrong_type(name, "array of string", values)
    return values


def _check_keys(name: str, spec: Document, known: set[str]) -> None:
    unknown = sorted(spec.keys() - known)
    if unknown:
        raise InvalidArgument(f"Validation error: {name}: {unknown[0]!r:.60} is not one of {sorted(known)}")
