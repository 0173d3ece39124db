"""Events as rows: reports of tasks, and the series of one metric and variant.

Series are listed and thinned by index searches: the cost depends on the series and on the points returned,
not on the number of stored events.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from server.documents import Document, dump

LOG = "log"
SCALAR = "training_stats_scalar"
PLOT = "plot"
IMAGE = "training_debug_image"
VECTOR = "training_stats_vector"
TYPES = frozenset({LOG, SCALAR, PLOT, IMAGE, VECTOR})

SINGLE_VALUE_ITERATION = -(2**31)
"""The SDK's iteration for ``report_single_value``: the smallest there is, and no point of a curve."""

DENSE = 5
"""Up to this many stored points per returned one, reading them all beats searching for each."""

SPARSE = 16
"""Up to this many iterations per bin, sorting the points into bins beats searching for those of each."""

SLICE = 5_000
"""Events deleted in one transaction, so that other writers wait little."""

_INSERT = (
    "INSERT INTO events (task, type, metric, variant, iter, timestamp, value, doc)"
    " VALUES (:task, :type, :metric, :variant, :iter, :timestamp, :value, :doc)"
)
_REPLACE = (
    " ON CONFLICT (task, type, metric, variant, iter) WHERE type <> 'log'"
    " DO UPDATE SET timestamp = excluded.timestamp, value = excluded.value, doc = excluded.doc"
)

# ``type <> 'log'`` lets SQLite use the index that leaves the log out.
_OF_TYPE = "FROM events WHERE task = :task AND type = :type AND type <> 'log'"
# One search past all reports of the previous name; comparing (metric, variant) pairs would read them.
_METRIC = f"SELECT metric {_OF_TYPE} AND metric {{}} :metric ORDER BY metric LIMIT 1"
_VARIANT = (
    f"SELECT variant {_OF_TYPE} AND metric = :metric AND variant {{}} :variant ORDER BY variant LIMIT 1"
)
_SERIES = f"{_OF_TYPE} AND metric = :metric AND variant = :variant"

_ID = "SELECT id FROM curves WHERE task = ? AND metric = ? AND variant = ?"
_CURVE = "FROM points WHERE curve = :curve"
# Not where another lower bound stands: SQLite may search by this one and read everything after it.
_POINTS = f"{_CURVE} AND iter > {SINGLE_VALUE_ITERATION}"
_ALL = f"SELECT iter, timestamp, value {_POINTS} ORDER BY iter"
_COUNT = f"SELECT count(*) FROM (SELECT 1 {_POINTS} LIMIT :limit)"
_ENDS = f"SELECT (SELECT min(iter) {_POINTS}) AS first, (SELECT max(iter) {_CURVE}) AS last"
_WALK = f"""
WITH RECURSIVE walk (place) AS (
    SELECT min(iter) {_POINTS}
    UNION ALL
    SELECT (SELECT iter {_CURVE} AND iter >= place + :step ORDER BY iter LIMIT 1)
    FROM walk WHERE place IS NOT NULL
)
SELECT iter, timestamp, value {_CURVE} AND iter IN walk ORDER BY iter
"""
_MEANS = "SELECT CAST(avg({x}) AS INTEGER) AS x, avg(value) AS value FROM points WHERE curve = "
_BIN = f"{_MEANS} ? AND iter BETWEEN ? AND ?"
_BINS = f"{_MEANS} :curve AND iter >= :first GROUP BY (iter - :first) / :width ORDER BY 1"


@dataclass(frozen=True)
class Event:
    """A report that passed the checks; ``timestamp`` in milliseconds since the epoch."""

    task: str
    type: str
    metric: str
    variant: str
    iteration: int
    timestamp: int
    value: float | None
    document: Document

    @property
    def series(self) -> dict[str, str]:
        """The values that select the event's series."""
        return {"task": self.task, "type": self.type, "metric": self.metric, "variant": self.variant}


def store(db: sqlite3.Connection, event: Event) -> None:
    """Insert the event; unless it is a log line, it replaces one of the same series and iteration."""
    is_log = event.type == LOG
    stamps = {"timestamp": event.timestamp} | ({} if is_log else {"iter": event.iteration})
    columns = {"iter": event.iteration, "timestamp": event.timestamp, "value": event.value}
    document = {"doc": dump(event.document | stamps)}
    db.execute(_INSERT + ("" if is_log else _REPLACE), event.series | columns | document)


def stored_at(db: sqlite3.Connection, event: Event) -> tuple[float | None, int | None]:
    """Return the value stored at the event's iteration and the last iteration of its series, or None."""
    sql = f"SELECT (SELECT value {_SERIES} AND iter = :iter) AS value, (SELECT max(iter) {_SERIES}) AS last"
    row = db.execute(sql, event.series | {"iter": event.iteration}).fetchone()
    return row["value"], row["last"]


def extremes(db: sqlite3.Connection, event: Event) -> tuple[sqlite3.Row, sqlite3.Row]:
    """Return (iter, value) of the smallest and the largest value in the event's series, which has one."""
    sql = f"SELECT iter, value {_SERIES} ORDER BY value {{}}, iter LIMIT 1"
    smallest, largest = (db.execute(sql.format(order), event.series).fetchone() for order in ("ASC", "DESC"))
    return smallest, largest


def delete_some(db: sqlite3.Connection, tasks: Iterable[str]) -> int:
    """Delete at most SLICE events of the tasks, except images; return how many.

    Images name files that the caller may still want to list or remove.
    """
    some = "SELECT number FROM events WHERE task = ? AND type = ? LIMIT ?"
    left = SLICE
    for task in tasks:
        for kind in sorted(TYPES - {IMAGE}):
            left -= db.execute(f"DELETE FROM events WHERE number IN ({some})", (task, kind, left)).rowcount
    return SLICE - left


def delete_some_lines(db: sqlite3.Connection, task: str, before: int) -> int:
    """Delete at most SLICE lines of the task's log up to a timestamp in milliseconds; return how many."""
    some = "SELECT number FROM events WHERE task = ? AND type = 'log' AND timestamp <= ? LIMIT ?"
    return db.execute(f"DELETE FROM events WHERE number IN ({some})", (task, before, SLICE)).rowcount


def image_urls(db: sqlite3.Connection, task: str) -> list[Any]:
    """Return the URLs of the task's debug images, as the clients sent them."""
    sql = "SELECT DISTINCT json_extract(doc, '$.url') AS url FROM events WHERE task = ? AND type = ?"
    return [row["url"] for row in db.execute(sql, (task, IMAGE))]


def metric_hash(name: str) -> str:
    """Return the md5 of a metric's or variant's name, by which the clients look it up."""
    return md5(name.encode("utf-8"), usedforsecurity=False).hexdigest()


def series(
    db: sqlite3.Connection, task: str, kind: str, metric: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (metric, variant) of what the task reported of a type other than log, for one metric or all."""
    values = {"task": task, "type": kind}
    for name in [metric] if metric is not None else _names(db, _METRIC, "metric", values):
        for variant in _names(db, _VARIANT, "variant", values | {"metric": name}):
            yield name, variant


def curve(db: sqlite3.Connection, task: str, metric: str, variant: str, samples: int) -> list[sqlite3.Row]:
    """Return (iter, timestamp, value) of at most ``samples`` points (0: all) by iteration.

    A longer curve is thinned to every n-th report, a very long one to the first report at or after evenly
    spaced iterations. A series that is a single value has no points.
    """
    place = _curve(db, task, metric, variant)
    if samples <= 0:
        return db.execute(_ALL, place).fetchall()
    count = _count(db, place, DENSE * samples)
    if count <= DENSE * samples:
        return db.execute(_ALL, place).fetchall()[:: -(-count // samples) or 1]
    ends = db.execute(_ENDS, place).fetchone()
    return db.execute(_WALK, place | {"step": (ends["last"] - ends["first"]) // samples + 1}).fetchall()


def averaged_curve(
    db: sqlite3.Connection, task: str, metric: str, variant: str, samples: int, axis: str = "iter"
) -> list[tuple[int, float]]:
    """Return (x, value) of a curve in at most ``samples`` bins of equal width (0: all points).

    A longer curve is cut into bins of equally many iterations, each of which gives the means of its points.

    Args:
        db: The open transaction.
        task: The id of the task or model.
        metric: The series' metric.
        variant: The series' variant.
        samples: The largest number of points returned.
        axis: What x is, ``iter`` or ``timestamp``.
    """
    place = _curve(db, task, metric, variant)
    if samples <= 0 or _count(db, place, samples) <= samples:
        return [(point[axis], point["value"]) for point in db.execute(_ALL, place)]
    first, last = db.execute(_ENDS, place).fetchone()
    width = -(-(last - first + 1) // samples)
    cursor = db.cursor()
    cursor.row_factory = None  # plain tuples
    if width <= SPARSE:
        return cursor.execute(_BINS.format(x=axis), place | {"first": first, "width": width}).fetchall()
    sql = _BIN.format(x=axis)
    bins = (
        cursor.execute(sql, (place["curve"], start, start + width - 1)).fetchone()
        for start in range(first, last + 1, width)
    )
    return [point for point in bins if point[1] is not None]


def _curve(db: sqlite3.Connection, task: str, metric: str, variant: str) -> dict[str, int]:
    """Return the value that selects the curve's points, of none if there is no such curve."""
    row = db.execute(_ID, (task, metric, variant)).fetchone()
    return {"curve": row["id"] if row else -1}


def _count(db: sqlite3.Connection, place: dict[str, int], limit: int) -> int:
    """Return the number of the curve's points, at most one more than the limit."""
    return int(db.execute(_COUNT, place | {"limit": limit + 1}).fetchone()[0])


def in_series(wanted: dict[str, list[str]]) -> tuple[str, list[str]]:
    """Return SQL that selects events of the wanted metrics; {} is all of them, an empty list all variants."""
    if not wanted:
        return "1", []
    chosen = (
        "EXISTS (SELECT 1 FROM json_each(?) AS chosen WHERE chosen.key = events.metric AND"
        " (json_array_length(chosen.value) = 0"
        " OR EXISTS (SELECT 1 FROM json_each(chosen.value) AS name WHERE name.value = events.variant)))"
    )
    return chosen, [dump(wanted)]


def _names(db: sqlite3.Connection, sql: str, column: str, values: dict[str, str]) -> Iterator[str]:
    row = db.execute(sql.format(">="), values | {column: ""}).fetchone()
    while row:
        yield row[column]
        row = db.execute(sql.format(">"), values | {column: row[column]}).fetchone()
