"""The tag filter's little language, as the SDK documents it for ``Task.get_tasks(tags=...)``.

``["a", "b"]`` is a or b; ``"-a"`` excludes; ``"__$all"`` (or ``"__$and"``) joins what follows by and,
``"__$or"`` (or ``"__$any"``) opens a group joined by or, ``"__$not"`` negates the next tag only.
"""

from typing import Any

ALL = frozenset({"__$all", "__$and"})
ANY = frozenset({"__$or", "__$any"})
NOT = "__$not"


def tag_condition(field: str, tags: list[str]) -> tuple[str, *tuple[Any, ...]]:
    """SQL over the list ``field`` of the document, followed by the values bound to it."""
    conditions = [_group(field, group) for group in _groups(tags)]
    values = [tag for group in _groups(tags) for tag, _ in group]
    return " AND ".join(conditions) or "1", *values


def _groups(tags: list[str]) -> list[list[tuple[str, bool]]]:
    """Groups of (tag, wanted): a document passes if of every group at least one holds."""
    groups: list[list[tuple[str, bool]]] = []
    alternatives: list[tuple[str, bool]] | None = []
    negate = False
    for tag in tags:
        if tag in ALL or tag in ANY:
            _close(groups, alternatives)
            alternatives = [] if tag in ANY else None
        elif tag == NOT:
            negate = True
        elif tag.startswith("-") and not negate:
            groups.append([(tag[1:], False)])
        else:
            _append(groups, alternatives, (tag, not negate))
            negate = False
    _close(groups, alternatives)
    return groups


def _append(
    groups: list[list[tuple[str, bool]]], alternatives: list[tuple[str, bool]] | None, term: tuple[str, bool]
) -> None:
    if alternatives is None:
        groups.append([term])
    else:
        alternatives.append(term)


def _close(groups: list[list[tuple[str, bool]]], alternatives: list[tuple[str, bool]] | None) -> None:
    if alternatives:
        groups.append(alternatives)


def _group(field: str, group: list[tuple[str, bool]]) -> str:
    path = f"$.{field}"
    has = f"EXISTS (SELECT 1 FROM json_each(doc, '{path}') WHERE value = ?)"
    return "(" + " OR ".join(has if wanted else f"NOT {has}" for _, wanted in group) + ")"
