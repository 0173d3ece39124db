"""What a task remembers of its events: the last, smallest and largest value of every scalar."""

from hashlib import md5

from server.documents import Document

SINGLE_VALUE_ITERATION = -(2**31)


def key(name: str) -> str:
    """The clients look metrics up by the md5 of their name."""
    return md5(name.encode("utf-8"), usedforsecurity=False).hexdigest()


def remember_scalar(task: Document, metric: str, variant: str, value: float, iteration: int) -> None:
    """Fold one report into ``last_metrics``; an older iteration does not replace the last value."""
    variants = task["last_metrics"].setdefault(key(metric), {})
    entry = variants.get(key(variant))
    if entry is None:
        variants[key(variant)] = _first(metric, variant, value, iteration)
        return
    entry["count"] += 1
    entry["mean_value"] += (value - entry["mean_value"]) / entry["count"]
    entry["value"] = value
    if value < entry["min_value"]:
        entry |= {"min_value": value, "min_value_iteration": iteration}
    if value > entry["max_value"]:
        entry |= {"max_value": value, "max_value_iteration": iteration}


def remember_event(task: Document, kind: str, metric: str, iteration: int, timestamp: int) -> None:
    """Fold any event into ``metric_stats`` and ``last_iteration``."""
    stats = task["metric_stats"].setdefault(key(metric), {"metric": metric, "event_stats_by_type": {}})
    stats["event_stats_by_type"][kind] = {"last_update": timestamp}
    task["last_iteration"] = max(task["last_iteration"], iteration)


def _first(metric: str, variant: str, value: float, iteration: int) -> Document:
    return {
        "metric": metric,
        "variant": variant,
        "value": value,
        "min_value": value,
        "min_value_iteration": iteration,
        "max_value": value,
        "max_value_iteration": iteration,
        "first_value": value,
        "first_value_iteration": iteration,
        "count": 1,
        "mean_value": value,
    }
