"""Results of a run: the table and the headline that it declares in its configuration object `results`.

The object is JSON, and every key is optional:

- `columns`: a list of objects. `value` names a value that a step returned; or `metric` and `variant` name a
  scalar, whose last value counts. `title`, `format` (such as `.4f`) and `better` (`higher` or `lower`)
  describe it. The rows are ranked by the first column that says what is better.
- `rows`: by step, an object; its `curves` name the step whose curves and duration the row shows, if another.
- `title` and `row`: headings of the table and of its first column.
- `name` and `model`: returned values that hold a row's name and the id of its registered model. A step that
  returned an empty name has no result.
- `best`: the step that returned the `name` of the best row.
- `note`: a text that this step returned, or, as `value.entry`, an entry of the JSON object in it.

A run without it shows what its steps returned as numbers or, without those, the last values of their scalars.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from server.web.runs.nodes import GOOD, Node
from server.web.shell import text
from server.web.tasks.summary import read_object

RESULTS = "results"
FORMAT = re.compile(r"\.[0-9][efg%]")
MAX_COLUMNS = 5
"""Most columns of a list, and of a run without a declaration."""


@dataclass(frozen=True)
class Column:
    """A value that steps return, or a scalar (metric and variant)."""

    key: tuple[str, ...]
    title: str
    format: str = ""
    better: str = ""
    declared: bool = False

    def of(self, node: Node) -> float | None:
        """Return the value of a step, or None."""
        return _number(node.returned.get(self.key[0])) if len(self.key) == 1 else node.scalars.get(self.key)

    def show(self, value: object) -> str:
        """Format a value as declared, else to six significant digits; as text what is not a number."""
        number = _number(value) if self.format else None
        return text.number(value) if number is None else f"{number:z{self.format}}"


@dataclass(frozen=True)
class Row:
    """The values of a step; `best` if the run selected it."""

    name: str
    step: Node
    work: Node | None
    values: dict[Column, float]
    model_id: str
    best: bool


@dataclass(frozen=True)
class Results:
    """The rows of a run, ranked if declared; `headline` is the best, the leading or the last one."""

    title: str
    row_title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    headline: Row | None
    headline_title: str
    note: str = ""


def results_of(stored: object, steps: Sequence[Node]) -> Results:
    """Return the results of a run by its stored declaration, if it has one that declares columns."""
    declared, columns = read_object(stored), declared_columns(stored)
    done = [step for step in steps if step.status in GOOD]
    return _declared(declared, columns, done, steps) if columns else _undeclared(done)


def declared_columns(stored: object) -> tuple[Column, ...]:
    """Return the columns of a stored declaration; an unreadable one has no columns."""
    columns = read_object(stored).get("columns")
    found = map(_column, columns) if isinstance(columns, list) else ()
    return tuple(column for column in found if column)


def merged(several: Iterable[Sequence[Column]]) -> list[Column]:
    """Return the columns of several runs, each once and as declared: declared ones and first ones first."""
    found: dict[tuple[str, ...], Column] = {}
    for column in filter(None, chain.from_iterable(zip_longest(*several))):
        if column.key not in found or not found[column.key].declared:
            found[column.key] = column
    return sorted(found.values(), key=lambda column: not column.declared)


def _declared(
    declared: Mapping[str, Any], columns: tuple[Column, ...], done: list[Node], steps: Sequence[Node]
) -> Results:
    name, model, listed = _text(declared, "name"), _text(declared, "model"), declared.get("rows")
    chosen = next((step for step in done if step.name == _text(declared, "best")), None)
    best_name = chosen.returned.get(name) if chosen else None
    by_name = {step.name: step for step in steps}
    rows = []
    for step in done:
        options = listed.get(step.name) if isinstance(listed, dict) else None
        values = _values(columns, step)
        if not isinstance(options, dict) or not values or step.returned.get(name) == "":
            continue
        row_name = step.returned.get(name, step.name)
        work = by_name.get(_text(options, "curves"), step)
        rows.append(Row(row_name, step, work, values, step.returned.get(model, ""), row_name == best_name))
    ranking = next((column for column in columns if column.better), columns[0])
    sign = 1 if ranking.better == "lower" else -1
    rows.sort(key=lambda row: (ranking not in row.values, sign * row.values.get(ranking, 0.0)))
    row_title = _text(declared, "row") or "Step"
    best = next((row for row in rows if row.best), None)
    return Results(
        title=_text(declared, "title") or "Results",
        row_title=row_title,
        columns=columns,
        rows=tuple(rows),
        headline=best or next(iter(rows), None),
        headline_title=f"Best {row_title.lower()}" if best or "best" not in declared else "Leading so far",
        note=_note(chosen, _text(declared, "note")) if chosen else "",
    )


def _undeclared(done: list[Node]) -> Results:
    """Take the columns from the last step that has numbers, and the rows from all steps that share one."""
    for keys in ([_number_keys(step) for step in done], [list(step.scalars) for step in done]):
        last = next((found for found in reversed(keys) if found), [])
        if last:
            columns = tuple(Column(key, _title(key)) for key in last[:MAX_COLUMNS])
            shown = ((step, _values(columns, step)) for step in done)
            rows = tuple(Row(step.name, step, step, values, "", False) for step, values in shown if values)
            return Results("Results", "Step", columns, rows, rows[-1], "Last result")
    return Results("Results", "Step", (), (), None, "")


def _values(columns: Iterable[Column], step: Node) -> dict[Column, float]:
    return {column: value for column in columns if (value := column.of(step)) is not None}


def _number_keys(step: Node) -> list[tuple[str, ...]]:
    return [(name,) for name, value in step.returned.items() if _number(value) is not None]


def _title(key: tuple[str, ...]) -> str:
    return " ".join(dict.fromkeys(key))


def _column(declared: object) -> Column | None:
    if not isinstance(declared, dict):
        return None
    value, metric = _text(declared, "value"), _text(declared, "metric")
    if not value and not metric:
        return None
    key = (value,) if value else (metric, _text(declared, "variant") or metric)
    format_, better = _text(declared, "format"), _text(declared, "better")
    return Column(
        key=key,
        title=_text(declared, "title") or _title(key),
        format=format_ if FORMAT.fullmatch(format_) else "",
        better=better if better in ("higher", "lower") else "",
        declared=True,
    )


def _note(step: Node, path: str) -> str:
    value, _, entry = path.partition(".")
    stored = step.returned.get(value, "")
    return str(read_object(stored).get(entry, "")) if entry else stored


def _text(declared: Mapping[str, Any], name: str) -> str:
    value = declared.get(name)
    return value if isinstance(value, str) else ""


def _number(stored: object) -> float | None:
    try:
        number = float(stored)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
