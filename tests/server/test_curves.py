"""The points of curves, kept beside the events: always the same as the events, and averaged as from them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.database import Database, migrations
from server.stores.events import SCALAR, SINGLE_VALUE_ITERATION, Event, averaged_curve, curve, store

SERIES = [("task", "loss", ""), ("task", "loss", "v"), ("other", "loss", "v")]
ITERATIONS = st.one_of(
    st.integers(-20, 60),
    st.integers(-(10**6), 10**6),
    st.just(SINGLE_VALUE_ITERATION),
)
VALUES = st.floats(-1e6, 1e6)
REPORTS = st.lists(st.tuples(ITERATIONS, VALUES), max_size=60)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with closing(Database(tmp_path_factory.mktemp("curves") / "server.db")) as database:
        yield database


def report(db: sqlite3.Connection, series: tuple[str, str, str], iteration: int, value: float) -> None:
    task, metric, variant = series
    timestamp = iteration * 3 + 7
    store(db, Event(task, SCALAR, metric, variant, iteration, timestamp, value, {"value": value}))


def averaged_from_events(db: sqlite3.Connection, samples: int, axis: str) -> list[tuple[int, float]]:
    """The definition: bins of equally many iterations, of each the means of its points."""
    places = "FROM events WHERE task = 'task' AND type = ? AND metric = 'loss' AND variant = 'v' AND iter > ?"
    points = db.execute(
        f"SELECT iter, {axis}, value {places} ORDER BY iter", (SCALAR, SINGLE_VALUE_ITERATION)
    )
    stored = [tuple(row) for row in points]
    if samples <= 0 or len(stored) <= samples:
        return [(x, value) for _, x, value in stored]
    width = -(-(stored[-1][0] - stored[0][0] + 1) // samples)
    bins: dict[int, list[tuple[int, float]]] = {}
    for iteration, x, value in stored:
        bins.setdefault((iteration - stored[0][0]) // width, []).append((x, value))
    return [
        (int(sum(x for x, _ in points) / len(points)), sum(value for _, value in points) / len(points))
        for points in bins.values()
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=REPORTS, samples=st.integers(0, 50), axis=st.sampled_from(["iter", "timestamp"]))
def test_a_curve_is_averaged_as_from_its_events(
    database: Database, reports: list[tuple[int, float]], samples: int, axis: str
) -> None:
    with database.write() as db:
        db.execute("DELETE FROM events")
        for (iteration, value), series in product(reports, SERIES):
            report(db, series, iteration, value)
        expected = averaged_from_events(db, samples, axis)
        averaged = averaged_curve(db, "task", "loss", "v", samples, axis)
        assert [x for x, _ in averaged] == [x for x, _ in expected]
        assert [value for _, value in averaged] == pytest.approx([value for _, value in expected])
        assert len(averaged) <= (samples or len(reports))
        assert averaged_curve(db, "task", "nothing", "v", samples, axis) == []
        assert len(curve(db, "task", "loss", "v", samples)) <= (samples or len(reports))


def steps(db: sqlite3.Connection, samples: int) -> int:
    """How many thousand instructions SQLite takes to thin the long curve."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(count, 1000)
    try:
        assert len(curve(db, "long", "loss", "v", samples)) <= samples
    finally:
        db.set_progress_handler(None, 0)
    return taken


def test_a_long_curve_is_thinned_without_reading_it(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "server.db")) as database, database.write() as db:
        db.execute("INSERT INTO curves (id, task, metric, variant) VALUES (1, 'long', 'loss', 'v')")
        db.executemany("INSERT INTO points VALUES (1, ?, 0, 1.0)", ((n,) for n in range(50_000)))
        few = steps(db, 50)
        assert few < 20, "the points that are read, and a search for each"
        assert few < steps(db, 500) < 20 * max(few, 1)


POINTS = (
    "SELECT task, metric, variant, iter, timestamp, value FROM points JOIN curves ON curves.id = points.curve"
    " ORDER BY task, metric, variant, iter"
)
SCALARS = (
    "SELECT task, metric, variant, iter, timestamp, value FROM events WHERE type = 'training_stats_scalar'"
    " ORDER BY task, metric, variant, iter"
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(SERIES), st.integers(0, 5), st.one_of(st.none(), VALUES)), max_size=40
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_points_are_added_replaced_and_removed_with_their_events(
    database: Database, changes: list[tuple[tuple[str, str, str], int, float | None]]
) -> None:
    with database.write() as db:
        db.execute("DELETE FROM events")
        for series, iteration, value in changes:
            if value is None:
                where = "task = ? AND metric = ? AND variant = ? AND iter = ?"
                db.execute(f"DELETE FROM events WHERE {where}", (*series, iteration))
            else:
                report(db, series, iteration, value)
        points = [tuple(row) for row in db.execute(POINTS)]
        assert points == [tuple(row) for row in db.execute(SCALARS)]
        known = db.execute("SELECT count(*) FROM curves").fetchone()[0]
        assert known == len({point[:3] for point in points}), "a curve without points is forgotten"


def test_the_events_of_an_older_database_become_points(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    with closing(Database(path, migrations()[:4])) as old, old.write() as db:
        for number, series in product(range(3), SERIES):
            report(db, series, number, float(number))
    with closing(Database(path)) as new, new.read() as db:
        points: list[Any] = [tuple(row) for row in db.execute(POINTS)]
        assert points == [tuple(row) for row in db.execute(SCALARS)]
        assert len(points) == 9
