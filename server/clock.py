"""Timestamps as the API writes them: ISO 8601 in UTC with microseconds."""

import time
from datetime import UTC, datetime


def now() -> str:
    """This moment as a timestamp."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def seconds_between(start: str, end: str) -> int:
    """Whole seconds from ``start`` to ``end``, never negative."""
    return max(0, int((parse(end) - parse(start)).total_seconds()))


def parse(timestamp: str) -> datetime:
    """Raises ValueError for what is not ISO 8601; a timestamp without a zone is taken as UTC."""
    moment = datetime.fromisoformat(timestamp)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def milliseconds() -> int:
    """This moment as events carry it: milliseconds since the epoch."""
    return int(time.time() * 1000)
