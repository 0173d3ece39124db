"""Calls of the events service that leaf through debug images and plots, iteration by iteration."""

import json
import re
import sqlite3
from typing import Any

from server.dispatch import Call, Service
from server.documents import Document, dump
from server.errors import InvalidArgument
from server.requests import Arguments
from server.services.events.metrics import read_source
from server.stores.events import IMAGE, PLOT

service = Service("events")

PAGES = ("metrics", "iters", "navigate_earlier", "refresh", "scroll_id")
SAMPLE = ("task", "metric", "iteration", "navigate_current_metric", "refresh", "scroll_id")
NEXT = ("task", "scroll_id", "navigate_earlier", "next_iteration")
MOST_ITERATIONS = 10_000

PAGE = re.compile("(?:-?[0-9]{1,19})?(?:,(?:-?[0-9]{1,19})?)*")
"""A scroll id of pages: the last iteration returned of each item of ``metrics``, initially empty."""

PLACE = re.compile("(?P<event>[0-9]{1,18}):(?P<current>[01])")
"""A scroll id of samples: the event shown, 0 for none, and whether to stay with its metric."""


@service.reads("debug_images", *PAGES)
def debug_images(call: Call) -> Document:
    """Return ``iters`` iterations of debug images per item of ``metrics``, latest first; scroll for more."""
    return _pages(call, IMAGE)


@service.reads("plots", *PAGES)
def plots(call: Call) -> Document:
    """Return ``iters`` iterations of plots per item of ``metrics``, latest first; scroll for more."""
    return _pages(call, PLOT)


@service.reads("get_debug_image_sample", "variant", *SAMPLE)
def get_debug_image_sample(call: Call) -> Document:
    """Return one image of a metric and variant: of ``iteration``, else the latest."""
    series = {"metric": call.arguments.text("metric"), "variant": call.arguments.text("variant")}
    return _image(call, _sample(call, IMAGE, series))


@service.reads("next_debug_image_sample", *NEXT)
def next_debug_image_sample(call: Call) -> Document:
    """Return the image after or, with ``navigate_earlier``, before the one shown.

    Images are ordered by iteration, metric and variant; ``next_iteration`` skips those of the same iteration.
    """
    return _image(call, _next(call, IMAGE, "iter, metric, variant"))


@service.reads("get_plot_sample", *SAMPLE)
def get_plot_sample(call: Call) -> Document:
    """Return the plots of a metric, one per variant: of ``iteration``, else the latest."""
    return _plots(call, _sample(call, PLOT, {"metric": call.arguments.text("metric")}))


@service.reads("next_plot_sample", *NEXT)
def next_plot_sample(call: Call) -> Document:
    """Return the plots of the metric after or, with ``navigate_earlier``, before the one shown.

    Metrics are ordered by iteration and name; ``next_iteration`` skips those of the same iteration.
    """
    return _plots(call, _next(call, PLOT, "iter, metric"))


def _pages(call: Call, kind: str) -> Document:
    items = call.arguments.mappings("metrics")
    match = None if call.arguments.flag("refresh") else call.arguments.scroll(PAGE)
    places = match[0].split(",") if match else [""] * len(items)
    if len(places) != len(items):
        raise InvalidArgument("Validation error: scroll_id: it belongs to a call with other metrics")
    pages = [_page(call, kind, Arguments(item), place) for item, place in zip(items, places, strict=True)]
    last = [
        str(page["iterations"][-1]["iter"]) if page["iterations"] else place
        for page, place in zip(pages, places, strict=True)
    ]
    return {"metrics": pages, "scroll_id": ",".join(last)}


def _page(call: Call, kind: str, item: Arguments, place: str) -> Document:
    """Return the iterations of one item of ``metrics`` that follow the place, each with its events."""
    size = min(max(call.arguments.integer("iters", 1), 1), MOST_ITERATIONS)
    sign, order = ("<", "DESC") if call.arguments.flag("navigate_earlier", True) else (">", "ASC")
    task, metric = item.text("task"), item.maybe_text("metric")
    chosen = "(? OR variant IN (SELECT value FROM json_each(?)))"
    condition = f"task = ? AND type = ? AND (? IS NULL OR metric = ?) AND {chosen}"
    variants = item.texts("variants")
    values: list[Any] = [task, kind, metric, metric, not variants, dump(variants)]
    after, position = ("", []) if place == "" else (f" AND iter {sign} ?", [_integer(place)])
    iterations = f"SELECT DISTINCT iter FROM events WHERE {condition}{after} ORDER BY iter {order} LIMIT ?"
    rows = call.db.execute(
        f"SELECT iter, doc FROM events WHERE {condition} AND iter IN ({iterations})"
        f" ORDER BY iter {order}, metric, variant",
        [*values, *values, *position, size],
    )
    grouped: dict[int, list[Document]] = {}
    for row in rows:
        grouped.setdefault(row["iter"], []).append(json.loads(row["doc"]))
    pages = [{"iter": iteration, "events": events} for iteration, events in grouped.items()]
    return {"task": task, "metric": metric, "iterations": pages}


def _sample(call: Call, kind: str, series: dict[str, str]) -> sqlite3.Row | None:
    """Return the place of the series' event at ``iteration``, by default its last."""
    iteration = call.arguments.integer("iteration", 0) if "iteration" in call.arguments else None
    conditions = "".join(f" AND {name} = :{name}" for name in series)
    sql = (
        f"SELECT number, metric, variant, iter FROM events WHERE task = :task AND type = :type{conditions}"
        " AND (:iter IS NULL OR iter = :iter) ORDER BY iter DESC, variant LIMIT 1"
    )
    row: sqlite3.Row | None = call.db.execute(
        sql, {"task": read_source(call), "type": kind, "iter": iteration, **series}
    ).fetchone()
    return row


def _next(call: Call, kind: str, order: str) -> sqlite3.Row | None:
    """Return the place of the event that follows the one shown in an order of columns; None at the end."""
    call.arguments.require("scroll_id")
    shown = _shown(call, kind)
    if shown is None:
        return None
    earlier = call.arguments.flag("navigate_earlier")
    columns = "iter" if call.arguments.flag("next_iteration") else order
    marks = ", ".join(f":{name}" for name in columns.split(", "))
    sorted_by = ", ".join(f"{name}{' DESC' if earlier else ''}" for name in (*order.split(", "), "variant"))
    sql = (
        "SELECT number, metric, variant, iter FROM events WHERE task = :task AND type = :type"
        f" AND (:any OR metric = :metric) AND ({columns}) {'<' if earlier else '>'} ({marks})"
        f" ORDER BY {sorted_by} LIMIT 1"
    )
    place = {name: shown[name] for name in ("metric", "variant", "iter")}
    values = {"task": read_source(call), "type": kind, "any": not _stays(call), **place}
    row: sqlite3.Row | None = call.db.execute(sql, values).fetchone()
    return row


def _shown(call: Call, kind: str) -> sqlite3.Row | None:
    """Return the event that the scroll id names; None if the id names no event, or a deleted one."""
    match = call.arguments.scroll(PLACE)
    row: sqlite3.Row | None = call.db.execute(
        "SELECT number, metric, variant, iter FROM events WHERE number = ? AND task = ? AND type = ?",
        (int(match["event"]) if match else 0, read_source(call), kind),
    ).fetchone()
    return row


def _image(call: Call, place: sqlite3.Row | None) -> Document:
    if place is None:
        return {"event": None, **_bounds(call, IMAGE, None)}
    row = call.db.execute("SELECT doc FROM events WHERE number = ?", (place["number"],)).fetchone()
    return {"event": json.loads(row["doc"]), **_bounds(call, IMAGE, place)}


def _plots(call: Call, place: sqlite3.Row | None) -> Document:
    if place is None:
        return {"events": [], **_bounds(call, PLOT, None)}
    rows = call.db.execute(
        "SELECT doc FROM events WHERE task = ? AND type = ? AND metric = ? AND iter = ? ORDER BY variant",
        (read_source(call), PLOT, place["metric"], place["iter"]),
    )
    return {"events": [json.loads(row["doc"]) for row in rows], **_bounds(call, PLOT, place)}


def _bounds(call: Call, kind: str, place: sqlite3.Row | None) -> Document:
    """Return the first and last iteration of the image's series or the plot's metric, and the scroll id."""
    if place is None:
        scroll = call.arguments.maybe_text("scroll_id") or f"0:{_stays(call):d}"
        return {"min_iteration": None, "max_iteration": None, "scroll_id": scroll}
    variant = place["variant"] if kind == IMAGE else None
    row = call.db.execute(
        "SELECT min(iter) AS min_iteration, max(iter) AS max_iteration FROM events"
        " WHERE task = ? AND type = ? AND metric = ? AND (? IS NULL OR variant = ?)",
        (read_source(call), kind, place["metric"], variant, variant),
    ).fetchone()
    return {**dict(row), "scroll_id": f"{place['number']}:{_stays(call):d}"}


def _stays(call: Call) -> bool:
    """Return True if navigation stays with one metric, by the first call's argument or the scroll id."""
    match = call.arguments.scroll(PLACE)
    if match and "metric" not in call.arguments:
        return match["current"] == "1"
    return call.arguments.flag("navigate_current_metric", True)


def _integer(digits: str) -> int:
    number = int(digits)
    return max(-(2**63), min(number, 2**63 - 1))
