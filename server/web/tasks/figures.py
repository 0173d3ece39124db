"""Figures of a task: curves and plots for plotly.js, tables and debug images for the page itself."""

import json
import math
import mimetypes
import re
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server import documents
from server.documents import Document
from server.files.tree import Tree
from server.requests import check_depth
from server.stores.events import IMAGE, PLOT, SCALAR, curve, series
from server.web.shell import text
from server.web.shell.section import NotThere, Section, Visit

SAMPLES = 1000
MAX_PLOTS = 200
MAX_IMAGES = 200
MAX_ROWS = 500
MAX_COMPARED = 30
EPOCH = "epoch"
PIPELINE_PLOTS = ("Pipeline", "Pipeline Details")
"""Plots of ClearML's controllers, which repeat in HTML and pixels what the page of a run shows."""
# What plotly.js loads: images, outlines, map styles and tiles. In a template too, or as "images[0].source".
LOADED = frozenset({"source", "geojson", "style", "url", "tiles"})

# What plotly.js reads in a cell beside text.
BREAK = re.compile(r"<br ?/?>")
MARKUP = re.compile(r"</?(?:a|b|i|em|sub|sup)(?: [a-z]+=(?:\"[^\"<>]*\"|'[^'<>]*'))*>")

section = Section()


@dataclass(frozen=True)
class Table:
    """A table that a task reported."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Plot:
    """A reported plot: a table or an image that the page shows itself, else a figure for plotly.js."""

    number: int
    metric: str
    variant: str
    iteration: int
    table: Table | None
    image: str | None


@dataclass(frozen=True)
class Image:
    """A debug sample; `link` is None if it was never uploaded.

    `kind` is image, audio or video if the page can show the file itself, and link for any other file or
    server.
    """

    metric: str
    variant: str
    iteration: int
    link: str | None
    kind: str


def charts(db: sqlite3.Connection, task: str) -> list[str]:
    """Return the metrics that have curves, in the order of `importance`."""
    drawn: dict[str, list[str]] = {}
    for metric, variant in series(db, task, SCALAR):
        if curve(db, task, metric, variant, 1):
            drawn.setdefault(metric, []).append(variant)
    return sorted(drawn, key=lambda metric: importance(metric, drawn[metric]))


def importance(metric: str, variants: Sequence[str]) -> tuple[object, ...]:
    """Return a sort key: metrics of several variants first, bookkeeping and the machine's monitors last.

    A loss or a score is reported for a split of the data, and a counter, a rate or a duration for nothing:
    its only variant repeats its name.
    """
    counted = list(variants) == [metric]
    return (metric.startswith(":"), counted, -len(variants), text.natural(metric))


@section.data("/figures/scalar")
def scalar_figure(visit: Visit) -> Document:
    """Curves of one metric, of one task or several: iteration, epoch, time in ms and value."""
    metric = visit.query.get("metric", "")
    curves = []
    for task_id in visit.chosen[:MAX_COMPARED]:
        task = visit.document("tasks", task_id, "task")
        name = _full_name(visit.db, task) if len(visit.chosen) > 1 else ""
        epochs = _epochs(visit.db, task_id)
        for _, variant in series(visit.db, task_id, SCALAR, metric):
            points = curve(visit.db, task_id, metric, variant, SAMPLES)
            if points:
                # A variant that repeats the metric says nothing beside a name.
                parts = [name] if name and variant == metric else [name, variant]
                label = " · ".join(filter(None, parts))
                curves.append(_curve(label, points, epochs))
    return {"series": curves}


def _full_name(db: sqlite3.Connection, task: Document) -> str:
    """Return the name of a task, after that of the run that it is a step of."""
    run = documents.find(db, "tasks", task.get("parent") or "")
    is_step = run is not None and run["type"] == "controller" and task["type"] != "controller"
    return f"{run['name']} · {task['name']}" if run and is_step else str(task["name"])


def has_epochs(db: sqlite3.Connection, task: str) -> bool:
    """Return True if the task reported the epoch of its iterations, as a metric of that name."""
    return bool(_epochs(db, task, 1))


def _epochs(db: sqlite3.Connection, task: str, samples: int = SAMPLES) -> list[sqlite3.Row]:
    variants = [variant for _, variant in series(db, task, SCALAR, EPOCH)]
    return curve(db, task, EPOCH, variants[0], samples) if variants else []


def _curve(label: str, points: list[sqlite3.Row], epochs: list[sqlite3.Row]) -> Document:
    """Return a curve; the epoch of a point is the last one reported until its iteration."""
    drawn: Document = {
        "name": literal(label),
        "x": [point["iter"] for point in points],
        "y": [point["value"] for point in points],
        "time": [point["timestamp"] for point in points],
    }
    if epochs:
        starts = [row["iter"] for row in epochs]
        places = (max(bisect_right(starts, iteration) - 1, 0) for iteration in drawn["x"])
        drawn["epoch"] = [epochs[place]["value"] for place in places]
    return drawn


def plots(db: sqlite3.Connection, task: Document) -> list[Plot]:
    """Return the latest plot of every metric and variant, without those that the page of a run replaces."""
    replaced = PIPELINE_PLOTS if task["type"] == "controller" else ()
    rows = db.execute(
        "SELECT number, metric, variant, iter, doc, max(iter) FROM events WHERE task = ? AND type = ?"
        " GROUP BY metric, variant ORDER BY metric, variant LIMIT ?",
        (task["id"], PLOT, MAX_PLOTS),
    )
    return [_plot(row) for row in rows if row["metric"] not in replaced]


@section.data("/figures/plot/{task}/{number}")
def plot_figure(visit: Visit) -> Document:
    """One stored plot, as plotly.js draws it."""
    row = visit.db.execute(
        "SELECT doc FROM events WHERE task = ? AND type = ? AND number = ?",
        (visit.path["task"], PLOT, visit.number("number")),
    ).fetchone()
    if row is None:
        raise NotThere("There is no such plot")
    figure = _figure(row["doc"])
    try:
        return {
            "data": _inert(visit.files, figure.get("data", [])),
            "layout": _inert(visit.files, figure.get("layout", {})),
        }
    except RecursionError as error:
        raise NotThere("The plot is nested too deep to be drawn") from error


def images(visit: Visit, task: str) -> list[Image]:
    """Return the debug samples, the latest iteration first."""
    rows = visit.db.execute(
        "SELECT metric, variant, iter, json_extract(doc, '$.url') AS url FROM events"
        " WHERE task = ? AND type = ? ORDER BY iter DESC, metric, variant LIMIT ?",
        (task, IMAGE, MAX_IMAGES),
    )
    return [
        Image(row["metric"], row["variant"], row["iter"], link, _kind(visit.files, link))
        for row in rows
        for link in [text.link(row["url"])]
    ]


def _kind(files: Tree, link: str | None) -> str:
    file = files.find(link) if link else None
    kind = (mimetypes.guess_type(file.name)[0] or "").partition("/")[0] if file else ""
    return kind if kind in ("image", "audio", "video") else "link"


def _plot(row: sqlite3.Row) -> Plot:
    figure = _figure(row["doc"])
    image = _image(figure)
    return Plot(
        row["number"], row["metric"], row["variant"], row["iter"], None if image else _table(figure), image
    )


def _figure(stored: str) -> Document:
    """Return the reported figure, its NaN and infinity as gaps; empty if it cannot be read."""
    try:
        text = json.loads(stored).get("plot_str") or "{}"
        figure = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        check_depth(figure)
    except (ValueError, TypeError, RecursionError):
        return {}
    return figure if isinstance(figure, dict) else {}


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _table(figure: Document) -> Table | None:
    """Return the table that a figure consists of, or None: HTML shows tables better than plotly.js."""
    data = figure.get("data")
    trace = data[0] if isinstance(data, list) and len(data) == 1 else None
    if not isinstance(trace, dict) or trace.get("type") != "table":
        return None
    header, columns = _cells(trace.get("header")), _cells(trace.get("cells"))
    columns = [column if isinstance(column, list) else [column] for column in columns]
    length = min(max((len(column) for column in columns), default=0), MAX_ROWS)
    rows = [[_cell(column[row]) if row < len(column) else "" for column in columns] for row in range(length)]
    return Table([_cell(name) for name in header], rows)


def _cells(part: object) -> list[Any]:
    values = part.get("values") if isinstance(part, dict) else None
    return values if isinstance(values, list) else []


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_cell(item) for item in value)
    return MARKUP.sub("", BREAK.sub("\n", text.number(value))).strip()


def _image(figure: Document) -> str | None:
    """Return the address of the image that a figure consists of, as the SDK reports matplotlib's, or None."""
    layout = figure.get("layout")
    pictures = layout.get("images") if isinstance(layout, dict) else None
    if figure.get("data") or not isinstance(pictures, list) or len(pictures) != 1:
        return None
    return text.link(pictures[0].get("source")) if isinstance(pictures[0], dict) else None


def _inert(files: Tree, part: Any, name: str = "") -> Any:
    """Return a part of a figure without addresses to load from, except of stored files and images within it.

    The page's policy keeps what slips through, such as arguments of a button, from loading elsewhere.
    """
    if isinstance(part, dict):
        return {
            key: _inert(files, value, re.split(r"[.\[\]]+", key.rstrip("]"))[-1])
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_inert(files, item, name) if isinstance(item, (dict, list, str)) else item for item in part]
    if not isinstance(part, str) or name not in LOADED or part.startswith("data:image/"):
        return part
    stored = text.address(files, part)
    return stored if stored and stored.startswith("/") else None if re.search(r"[/\\:]", part) else part


def literal(label: str) -> str:
    """Escape a name, in which plotly.js would read some HTML."""
    return label.replace("&", "&amp;").replace("<", "&lt;")
