"""Deleted events leave the disk, and other writers get their turns meanwhile."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import seed
from support.embedded import Embedded, wait_for

from server.credentials import Credentials
from server.database import Database, Turns
from server.dispatch import Api
from server.services import discover
from server.stores import events

MEGABYTE = 2**20


def sizes(folder: Path) -> int:
    """Bytes of the database with its write-ahead log."""
    return sum(path.stat().st_size for path in folder.glob("server.db*"))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("tasks.delete", "task"), ("tasks.delete_many", "ids"), ("tasks.reset", "task"),
        ("tasks.reset_many", "ids"), ("events.delete_for_task", "task"),
    ],
)  # fmt: skip
def test_the_files_shrink_when_events_are_deleted(shared: Embedded, call: str, argument: str) -> None:
    task = shared.new_task()
    for _ in range(3):
        assert shared.events(*seed.log(task, *["x" * 20_000] * 500)).data["errors"] == 0
    image = {"type": "training_debug_image", "task": task, "metric": "m", "variant": "v", "url": "http://f/a"}
    shared.events(image)
    full = sizes(shared.data)
    extra = {} if call.startswith("events") else {"force": True, "return_file_urls": True}
    answer = shared.call(call, **{argument: [task] if argument == "ids" else task}, **extra).data
    if extra:
        done = answer["succeeded"][0] if argument == "ids" else answer
        assert done["urls"]["event_urls"] == ["http://f/a"]
    left = shared.call("events.get_task_events", task=task)
    assert left.error == (400, 101) if call.startswith("tasks.delete") else left.data["total"] == 0
    assert sizes(shared.data) < full - 5 * MEGABYTE


def test_an_older_database_learns_to_shrink(tmp_path: Path) -> None:
    """Its content and the order of its documents stay."""
    path = tmp_path / "server.db"
    closing_database(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA auto_vacuum = 0")
        db.execute("VACUUM")
        rows = [(f"{name * 7919 % 50:02}", '{"name": "abc"}') for name in range(50)]
        db.executemany("INSERT INTO tasks (id, doc) VALUES (?, ?)", rows)
        db.executemany("DELETE FROM tasks WHERE id = ?", [row[:1] for row in rows[::3]])
        db.commit()
        kept = db.execute("SELECT id FROM tasks ORDER BY rowid").fetchall()
    closing_database(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert db.execute("SELECT id FROM tasks ORDER BY rowid").fetchall() == kept
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def closing_database(path: Path) -> None:
    with closing(Database(path)):
        pass


def test_turns_are_taken_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def take(name: str) -> None:
        with turns:
            order.append(name)

    threads = [threading.Thread(target=take, args=(name,)) for name in "abc"]
    with turns:
        for number, thread in enumerate(threads, start=1):
            thread.start()
            wait_for(lambda number=number: len(turns._waiting) == number, "the thread to ask")
    take("again")
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c", "again"]


class Recorded(Database):
    """Notes the order of the write transactions, and lets another writer ask in the middle of the first."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.order: list[str] = []
        self.other: threading.Thread | None = None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        with super().write() as db:
            name = threading.current_thread().name
            self.order.append("other" if name == "other" else "deletion")
            if self.other is None:
                self.other = threading.Thread(target=self.touch, name="other")
                self.other.start()
                wait_for(lambda: len(self._lock._waiting) == 1, "the other writer to ask")
            yield db

    def touch(self) -> None:
        with self.write():
            pass


@pytest.mark.parametrize(
    "call", ["tasks.delete", "tasks.reset", "events.delete_for_task", "events.clear_task_log"]
)
def test_other_writers_get_their_turn_between_two_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(events, "SLICE", 10)
    database = Recorded(tmp_path / "server.db")
    with closing(database):
        database.other = threading.current_thread()
        api = Api(database, Credentials.of(tmp_path), discover())
        task = api.invoke("tasks.create", name="task", type="training")["id"]
        with database.write() as db:
            rows = [(task, number) for number in range(35)]
            db.executemany("INSERT INTO events (task, type, timestamp, doc) VALUES (?, 'log', ?, '{}')", rows)
        database.other, database.order = None, []
        arguments: dict[str, Any] = {"task": task} | ({} if call.startswith("events") else {"force": True})
        api.invoke(call, **arguments)
        api.close()
        database.other.join()
        # Three full slices, one of the rest, one that finds nothing, and the call itself.
        assert database.order == ["deletion", "other", *["deletion"] * 5]
        with database.read() as db:
            assert db.execute("SELECT count(*) FROM events").fetchone()[0] == 0
