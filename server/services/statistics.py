"""Statistics of queues and workers over time, from the history that migration 0004 records."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from server.dispatch import Call, Service
from server.documents import Document, dump
from server.errors import InvalidArgument
from server.requests import Arguments
from server.stores.queues import load_queue

queues = Service("queues", version="2.4")
workers = Service("workers", version="2.4")

PERIOD = ("from_date", "to_date", "interval")
MOST_POINTS = 10_000
LATEST = 10.0**11
"""The last time in seconds that is accepted, in the year 5138."""

AGGREGATES = ("avg", "min", "max")
# The start of the interval that a moment belongs to, in whole seconds.
DATE = "CAST(time / :interval AS INTEGER) * :interval"
WITHIN = "time >= :start AND time < :end"

# SQLite takes the length from the row that has the maximum.
_LENGTHS = (
    f"SELECT queue, {DATE} AS date, max(waiting) AS waiting, length"
    " FROM (SELECT * FROM queue_history{}) WHERE " + WITHIN + " GROUP BY queue, date"
)
_ACTIVITY = (
    f"SELECT {DATE} AS date, count(DISTINCT worker) AS total,"
    " count(DISTINCT CASE WHEN task IS NOT NULL THEN worker END) AS active"
    f" FROM worker_reports WHERE {WITHIN} GROUP BY date"
)
_CHOSEN = "(:all OR worker IN (SELECT value FROM json_each(:workers)))"
# A value per core or GPU is an array; any other is an array of one.
_MEASURES = (
    "worker_reports, json_each(stats) AS metric,"
    " json_each(iif(metric.type = 'array', metric.value, json_array(metric.value))) AS part"
    f" WHERE {_CHOSEN} AND part.type IN ('integer', 'real')"
)
_STATISTICS = (
    "SELECT worker, metric.key AS metric, iif(metric.type = 'array', part.key, NULL) AS part,"
    f" {DATE} AS date, avg(part.value) AS avg, min(part.value) AS min, max(part.value) AS max"
    f" FROM {_MEASURES} AND {WITHIN} AND metric.key IN (SELECT value FROM json_each(:metrics))"
    " GROUP BY worker, metric.key, {} date ORDER BY worker, metric.key, {} date"
)


@dataclass(frozen=True)
class Period:
    """A span of time in seconds since the epoch, cut into intervals of whole seconds."""

    start: float
    end: float
    interval: int

    @classmethod
    def of(cls, arguments: Arguments) -> "Period":
        """Read ``from_date``, ``to_date`` and ``interval``; raises InvalidArgument."""
        arguments.require(*PERIOD)
        period = cls(_moment(arguments, "from_date"), _moment(arguments, "to_date"), _interval(arguments))
        if period.start >= period.end:
            raise InvalidArgument("Validation error: from_date must be before to_date")
        if (period.end - period.start) / period.interval > MOST_POINTS:
            raise InvalidArgument(
                f"Validation error: interval: the period has more than {MOST_POINTS} of them"
            )
        return period

    @property
    def values(self) -> dict[str, Any]:
        """The values of DATE and WITHIN."""
        return {"start": self.start, "end": self.end, "interval": self.interval}

    @property
    def dates(self) -> range:
        """The starts of all intervals."""
        return range(int(self.start // self.interval) * self.interval, math.ceil(self.end), self.interval)


@queues.reads("get_queue_metrics", "queue_ids", "refresh", *PERIOD)
def get_queue_metrics(call: Call) -> Document:
    """Return length and mean waiting time (seconds) of queues by interval, where they changed.

    Of several changes in an interval the one of the longest wait counts. Without ``queue_ids`` it is the mean
    of all queues, as the queue ``all``; ``refresh`` adds the state at this moment.
    """
    period = Period.of(call.arguments)
    chosen = [load_queue(call.db, queue_id)["id"] for queue_id in call.arguments.texts("queue_ids")]
    now = " UNION ALL SELECT * FROM queue_states" if call.arguments.flag("refresh") else ""
    rows = call.db.execute(_LENGTHS.format(now), period.values).fetchall()
    points: dict[str, dict[int, list[tuple[float, int]]]] = {queue: {} for queue in chosen or ["all"]}
    for row in rows:
        dates = points.get(row["queue"] if chosen else "all")
        if dates is not None:
            dates.setdefault(row["date"], []).append((row["waiting"], row["length"]))
    return {"queues": [_queue_series(queue, dates) for queue, dates in points.items()]}


@workers.reads("get_activity_report", *PERIOD)
def get_activity_report(call: Call) -> Document:
    """Return how many workers reported in each interval, and how many of them while running a task.

    An interval without reports has 0: the SDK documents null there and refuses to read it.
    """
    period = Period.of(call.arguments)
    counts = {row["date"]: row for row in call.db.execute(_ACTIVITY, period.values)}
    dates = list(period.dates)
    return {
        name: {"dates": dates, "counts": [counts[date][name] if date in counts else 0 for date in dates]}
        for name in ("total", "active")
    }


@workers.reads("get_metric_keys", "worker_ids")
def get_metric_keys(call: Call) -> Document:
    """Return the names of the metrics that workers reported, by category: the part before the ``_``."""
    sql = f"SELECT DISTINCT metric.key AS name FROM {_MEASURES} ORDER BY name"
    names = [row["name"] for row in call.db.execute(sql, _workers(call))]
    groups = groupby(names, key=lambda name: name.partition("_")[0])
    return {"categories": [{"name": name, "metric_keys": list(keys)} for name, keys in groups]}


@workers.reads("get_stats", "worker_ids", "items", "split_by_variant", *PERIOD)
def get_stats(call: Call) -> Document:
    """Return statistics of workers' metrics by interval; ``split_by_variant`` for each core and GPU."""
    period = Period.of(call.arguments)
    items = _items(call.arguments)
    part = "part.key," if call.arguments.flag("split_by_variant") else ""
    values = period.values | _workers(call) | {"metrics": dump(list(items))}
    rows = call.db.execute(_STATISTICS.format(part, part), values).fetchall()
    reported = []
    for worker, of_worker in groupby(rows, key=lambda row: row["worker"]):
        metrics = []
        series = groupby(of_worker, key=lambda row: (row["metric"], _variant(row) if part else None))
        for (metric, variant), points in series:
            metrics.append(_metric_series(metric, variant, list(points), items[metric]))
        reported.append({"worker": worker, "metrics": metrics})
    return {"workers": reported}


def _queue_series(queue: str, dates: dict[int, list[tuple[float, int]]]) -> Document:
    return {
        "queue": queue,
        "dates": sorted(dates),
        "avg_waiting_times": [_mean(waiting for waiting, _ in dates[date]) for date in sorted(dates)],
        "queue_lengths": [round(_mean(length for _, length in dates[date])) for date in sorted(dates)],
    }


def _metric_series(metric: str, variant: str | None, points: list[Any], aggregates: list[str]) -> Document:
    series = [{"aggregation": name, "values": [point[name] for point in points]} for name in aggregates]
    named = {"metric": metric} | ({"variant": variant} if variant is not None else {})
    return named | {"dates": [point["date"] for point in points], "stats": series}


def _variant(row: Any) -> str:
    """Return the name of the core or GPU, such as ``cpu0``; ``total`` for a metric of the machine."""
    return "total" if row["part"] is None else f"{row['metric'].partition('_')[0]}{row['part']}"


def _items(arguments: Arguments) -> dict[str, list[str]]:
    """Return the wanted aggregates of each metric, in the order of the request."""
    arguments.require("items")
    wanted: dict[str, list[str]] = {}
    for item in arguments.mappings("items"):
        fields = Arguments(item)
        wanted.setdefault(fields.text("key"), []).append(fields.choice("category", AGGREGATES, "avg"))
    return wanted


def _workers(call: Call) -> dict[str, Any]:
    ids = call.arguments.texts("worker_ids")
    return {"all": not ids, "workers": dump(ids)}


def _mean(values: Iterator[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _moment(arguments: Arguments, name: str) -> float:
    moment = arguments.number(name)
    if not 0 <= moment <= LATEST:
        raise InvalidArgument(f"Validation error: {name}: {moment:g} is no time in seconds since 1970")
    return moment


def _interval(arguments: Arguments) -> int:
    interval = arguments.integer("interval", 1)
    if not 1 <= interval <= LATEST:
        raise InvalidArgument(f"Validation error: interval: {interval} is not a number of seconds from 1")
    return interval
