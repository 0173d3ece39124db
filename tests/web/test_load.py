"""First views of a full server are fast."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from support import seed
from support.embedded import Embedded, fetch, running

pytestmark = pytest.mark.slow

TASKS = 10_000
EVENTS = 100_000
SECONDS = 0.3
COPIES = """
WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?)
INSERT INTO tasks (id, doc)
SELECT id || n, json_set(doc, '$.id', id || n, '$.name', json_extract(doc, '$.name') || ' ' || n)
FROM tasks CROSS JOIN copies
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Embedded, seed.Run]]:
    with running(tmp_path_factory.mktemp("full") / "data") as server:
        run = seed.finished_run(server, "full run")
        with closing(sqlite3.connect(server.data / "server.db")) as db, db:
            db.execute(COPIES, (TASKS // (1 + len(run.steps)),))
        task = run.steps["train_small"]
        for start in range(0, EVENTS, 10_000):
            numbers = range(start, start + 10_000)
            lines = [{"type": "log", "task": task, "msg": f"line {n}", "timestamp": n} for n in numbers[::2]]
            server.events(*lines, *seed.scalar(task, f"metric {start}", "x", *map(float, numbers[::2])))
        yield server, run


def views(server: Embedded, path: str) -> Iterator[float]:
    """Yield the seconds of up to 20 views; tests that run beside this one slow some of them down."""
    for _ in range(20):
        start = time.perf_counter()
        answer = fetch(server.api + path, headers=server.session)
        seconds = time.perf_counter() - start
        assert answer.status == 200
        assert len(answer.body) < 200_000, path
        yield seconds


def test_first_views_are_fast(full: tuple[Embedded, seed.Run]) -> None:
    server, run = full
    tabs = ("", "/output/log", "/info-output/metrics/scalar")
    paths = [
        "/",
        "/tasks",
        "/tasks?sort=-duration&column=metric%7Closs%7Cvalid",
        "/tasks?column=metric%7Closs%7Cvalid&sort=metric%7Closs%7Cvalid",
        "/tasks?tag=none&status=completed",
        "/?q=nothing&sort=started",
        "/models",
        "/datasets",
        "/queues",
        run.path,
        *(run.step("train_small", tab) for tab in tabs),
    ]
    for path in paths:
        assert any(seconds < SECONDS for seconds in views(server, path)), path


def test_an_unchanged_fragment_gets_304(full: tuple[Embedded, seed.Run]) -> None:
    server, run = full
    first = fetch(f"{server.api}{run.path}?fragment=live", headers=server.session)
    again = fetch(
        f"{server.api}{run.path}?fragment=live",
        headers=server.session | {"If-None-Match": first.headers["ETag"]},
    )
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert b"<html" not in first.body
