"""Events."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from server.documents import Document, dump

LOG = "log"
SCALAR = "training_stats_scalar"
PLOT = "plot"
IMAGE = "training_debug_image"
VECTOR = "training_stats_vector"
TYPES = frozenset({LOG, SCALAR, PLOT, IMAGE, VECTOR})

SINGLE_VALUE_ITERATION = -(2**31)
DENSE = 5
"""Up to so many stored points for one answered, reading all of them is faster than searching for each."""

# ``type <> 'log'`` lets SQLite use the index that leaves the log out.
_OF_TYPE = "FROM events WHERE task = :task AND type = :type AND type <> 'log'"
# One search past all reports of the name before; a comparison of pairs would read them.
_METRIC = f"SELECT metric {_OF_TYPE} AND metric {{}} :metric ORDER BY metric LIMIT 1"
_VARIANT = (
    f"SELECT variant {_OF_TYPE} AND metric = :metric AND variant {{}} :variant ORDER BY variant LIMIT 1"
)
# A single value has the smallest iteration that there is, and is no point of a curve.
_SERIES = f"{_OF_TYPE} AND metric = :metric AND variant = :variant AND iter"
_CURVE = f"{_SERIES} > {SINGLE_VALUE_ITERATION}"
_ALL = f"SELECT iter, timestamp, value {_CURVE} ORDER BY iter"
_COUNT = f"SELECT count(*) FROM (SELECT 1 {_CURVE} LIMIT :limit)"
_SPAN = f"SELECT (SELECT max(iter) {_CURVE}) - (SELECT min(iter) {_CURVE})"
_WALK = f"""
WITH RECURSIVE walk (place) AS (
    SELECT min(iter) {_CURVE}
    UNION ALL
    SELECT (SELECT iter {_SERIES} >= place + :step ORDER BY iter LIMIT 1) FROM walk WHERE place IS NOT NULL
)
SELECT iter, timestamp, value {_SERIES} IN walk ORDER BY iter
"""


@dataclass(frozen=True)
class Event:
    """A line that passed the checks."""

    task: str
    type: str
    metric: str
    variant: str
    iteration: int
    timestamp: int
    value: float | None
    document: Document


def series(
    db: sqlite3.Connection, task: str, kind: str, metric: str | None = None
) -> Iterator[tuple[str, str]]:
    """(metric, variant) of what the task reported of a type other than the log, of one metric or of all."""
    values = {"task": task, "type": kind}
    for name in [metric] if metric is not None else _names(db, _METRIC, "metric", values):
        for variant in _names(db, _VARIANT, "variant", values | {"metric": name}):
            yield name, variant


def _names(db: sqlite3.Connection, sql: str, column: str, values: dict[str, str]) -> Iterator[str]:
    row = db.execute(sql.format(">="), values | {column: ""}).fetchone()
    while row:
        yield row[column]
        row = db.execute(sql.format(">"), values | {column: row[column]}).fetchone()


def curve(db: sqlite3.Connection, task: str, metric: str, variant: str, samples: int) -> list[sqlite3.Row]:
    """iter, timestamp and value of at most ``samples`` points (0: of all of them), by iteration.

    Of a longer curve every so many-th report, of a very long one the first at or after equal distances. A
    series that is a single value is a curve without points.
    """
    place = {"task": task, "type": SCALAR, "metric": metric, "variant": variant}
    if samples <= 0:
        return db.execute(_ALL, place).fetchall()
    count = db.execute(_COUNT, place | {"limit": DENSE * samples + 1}).fetchone()[0]
    if count <= DENSE * samples:
        return db.execute(_ALL, place).fetchall()[:: -(-count // samples) or 1]
    span = db.execute(_SPAN, place).fetchone()[0]
    return db.execute(_WALK, place | {"step": span // samples + 1}).fetchall()


def store(db: sqlite3.Connection, event: Event) -> None:
    """Insert the event; a report of the same metric, variant and iteration is replaced."""
    keep = "" if event.type == LOG else _REPLACE
    place = {"timestamp": event.timestamp} | ({} if event.type == LOG else {"iter": event.iteration})
    columns = (
        event.task,
        event.type,
        event.metric,
        event.variant,
        event.iteration,
        event.timestamp,
        event.value,
    )
    db.execute(_INSERT + keep, (*columns, dump(event.document | place)))


_INSERT = (
    "INSERT INTO events (task, type, metric, variant, iter, timestamp, value, doc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_REPLACE = (
    " ON CONFLICT (task, type, metric, variant, iter) WHERE type <> 'log'"
    " DO UPDATE SET timestamp = excluded.timestamp, value = excluded.value, doc = excluded.doc"
)
