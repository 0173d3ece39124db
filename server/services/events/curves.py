"""The scalar curves of a task in the form of the API."""

from collections.abc import Mapping
from typing import Any

from server.dispatch import Call
from server.documents import Document
from server.errors import InvalidArgument
from server.stores.events import SCALAR, curve, series

SAMPLES = 6000
KEYS = {"iter": "iter", "timestamp": "timestamp", "iso_time": "timestamp"}


def curves(call: Call, task: str, wanted: Mapping[Any, Any]) -> Document:
    """metric -> variant -> {name, x, y}; ``wanted`` (metric -> variants or None) narrows it."""
    key = call.arguments.maybe_text("key") or "iter"
    if key not in KEYS:
        raise InvalidArgument(f"Validation error: key must be one of {sorted(KEYS)}, not {key!r:.60}")
    samples = call.arguments.integer("samples", SAMPLES)
    found: Document = {}
    for metric, variant in series(call.db, task, SCALAR):
        points = curve(call.db, task, metric, variant, samples) if _chosen(wanted, metric, variant) else []
        if points:
            x, y = [point[KEYS[key]] for point in points], [point["value"] for point in points]
            found.setdefault(metric, {})[variant] = {"name": variant, "x": x, "y": y}
    return found


def _chosen(wanted: Mapping[Any, Any], metric: str, variant: str) -> bool:
    if not wanted:
        return True
    variants = wanted.get(metric, ())
    return variants is None or (isinstance(variants, list) and (not variants or variant in variants))
