"""Scalar curves of a task, thinned to a number of points that a chart can show."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from server.documents import Document
from server.errors import InvalidArgument
from server.rpc import Call
from server.services.event_writer import SCALAR
from server.services.last_metrics import SINGLE_VALUE_ITERATION

SAMPLES = 6000
KEYS = {"iter": "iter", "timestamp": "timestamp", "iso_time": "timestamp"}


def curves(call: Call, task: str, wanted: Mapping[Any, Any]) -> Document:
    """metric -> variant -> {name, x, y}; ``wanted`` (metric -> variants or None) narrows it."""
    key = call.arguments.maybe_text("key") or "iter"
    if key not in KEYS:
        raise InvalidArgument(f"Validation error: key must be one of {sorted(KEYS)}, not {key!r:.60}")
    rows = call.db.execute(
        f"SELECT metric, variant, {KEYS[key]} AS x, value AS y FROM events"
        " WHERE task = ? AND type = ? AND iter <> ? ORDER BY metric, variant, iter",
        (task, SCALAR, SINGLE_VALUE_ITERATION),
    )
    samples = call.arguments.integer("samples", SAMPLES)
    found: Document = {}
    for (metric, variant), points in groupby(rows, lambda row: (row["metric"], row["variant"])):
        if _chosen(wanted, metric, variant):
            pairs = [(row["x"], row["y"]) for row in points]
            x, y = thin(pairs, samples)
            found.setdefault(metric, {})[variant] = {"name": variant, "x": x, "y": y}
    return found


def thin(points: list[tuple[int, float]], samples: int) -> tuple[list[int], list[float]]:
    """At most ``samples`` points (0: all of them): the means of equal runs of neighbours."""
    if samples <= 0 or len(points) <= samples:
        return [x for x, _ in points], [y for _, y in points]
    size = -(-len(points) // samples)
    runs = [points[start : start + size] for start in range(0, len(points), size)]
    return [sum(x for x, _ in run) // len(run) for run in runs], [
        sum(y for _, y in run) / len(run) for run in runs
    ]


def _chosen(wanted: Mapping[Any, Any], metric: str, variant: str) -> bool:
    if not wanted:
        return True
    variants = wanted.get(metric, ())
    return variants is None or (isinstance(variants, list) and (not variants or variant in variants))
