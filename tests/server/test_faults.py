"""What happens when the place fails: real limits, real locks, real file systems; nothing is corrupted."""

import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from support.embedded import Embedded, refused, running
from support.uploads import get, upload

from server.database import Database, Unavailable

ANY_PORT = ("--api-port", "0", "--files-port", "0")

# A mount namespace of our own: a small or a read-only file system without being root.
UNSHARE = [shutil.which("unshare") or "unshare", "-rm"]


def can_mount() -> bool:
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


mounts = pytest.mark.skipif(not can_mount(), reason="no mount namespaces for this user here")


@contextmanager
def no_file_grows(server: Embedded) -> Iterator[None]:
    """The server's own files may not become larger than they are: to it the disk is full."""
    pid, wal = server.process.pid, server.data / "server.db-wal"
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def create_until_refused(server: Embedded) -> tuple[list[str], str]:
    """The ids of the tasks that were acknowledged, and the message of the first refusal."""
    acknowledged = []
    for _ in range(10_000):
        answer = server.call("tasks.create", name="task", type="training", comment="x" * 4000)
        if answer.status != 200:
            assert answer.error == (503, 0)
            return acknowledged, answer.json["meta"]["result_msg"]
        acknowledged.append(answer.data["id"])
    raise AssertionError("the disk never became full")


def check_whole(server: Embedded, tasks: list[str]) -> None:
    stored = {task["id"] for task in server.call("tasks.get_all", only_fields=["id"]).data["tasks"]}
    assert set(tasks) <= stored
    with closing(sqlite3.connect(server.data / "server.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_disk_is_waited_out(server: Embedded) -> None:
    """503 is what SDK and agents repeat for ever, with pauses; reads go on; nothing acknowledged is lost."""
    before = server.new_task()
    with no_file_grows(server):
        tasks, message = create_until_refused(server)
        assert "the database cannot be read or written" in message
        assert create_until_refused(server)[0] == []
        assert server.task(before)["name"] == "task"
        refusal = upload(server, "p/large.bin", b"x" * 10**7)
        assert (refusal.status, "No space is left" in refusal.json["meta"]["result_msg"]) == (507, True)
        assert get(server, "p/large.bin").status == 404
        assert list((server.data / "uploads").iterdir()) == []
    assert server.new_task()
    assert upload(server, "p/large.bin", b"x" * 10**7).status == 200
    check_whole(server, [before, *tasks])
    log = server.log.read_text()
    assert "Traceback" not in log
    assert log.count("the database cannot be read or written") == 1
    assert log.count("works again") == 1


class Elsewhere(Embedded):
    """A server whose data folder is a file system of its own, seen through its process."""

    def __init__(self, data: Path, mount: str) -> None:
        data.mkdir()
        script = f'mount {mount} "$0" && exec "$@"'
        self.mounted = [*UNSHARE, "sh", "-c", script, str(data)]
        super().__init__(data)

    def launch(self, command: list[str]) -> list[str]:
        return [*self.mounted, *command]

    def seen(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root{self.folder}")


@mounts
def test_a_small_disk_that_fills_up(tmp_path: Path) -> None:
    """ENOSPC itself: a file system of 3 MB that database and files share."""
    server = Elsewhere(tmp_path / "data", "-t tmpfs -o size=3m tmpfs")
    try:
        tasks, message = create_until_refused(server)
        assert "no space is left for the database" in message
        assert upload(server, "p/large.bin", b"x" * 4 * 2**20).status == 507
        assert list((server.data / "uploads").iterdir()) == []
        check_whole(server, tasks)
        server.stop()
        assert "Traceback" not in server.log.read_text()
    finally:
        server.stop()


@mounts
def test_a_read_only_folder(server: Embedded, tmp_path: Path) -> None:
    server.stop()
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    command = [sys.executable, "-m", "server", "--data", str(server.data), *ANY_PORT]
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", mount, str(server.data), *command], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    assert done.stderr == (f"server: cannot write the data folder {server.data}: Read-only file system\n")


def test_a_database_that_another_program_locks(server: Embedded) -> None:
    task = server.new_task()
    with closing(sqlite3.connect(server.data / "server.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        answer = server.call("tasks.create", name="task", type="training")
        assert answer.error == (503, 0)
        assert time.monotonic() - start < 10
        assert answer.json["meta"]["result_msg"] == (
            "The server cannot store or read anything now: another program has locked the database"
        )
        assert server.task(task)["name"] == "task"
        other.execute("ROLLBACK")
    assert server.new_task()
    assert "Traceback" not in server.log.read_text()


def test_a_start_on_a_locked_database(server: Embedded) -> None:
    server.stop()
    with closing(sqlite3.connect(server.data / "server.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        line = refused("--data", str(server.data), *ANY_PORT)
    assert "another program has locked the database" in line
    assert str(server.data) in line
    assert not (server.data / "server.json").exists()


def test_both_ports_cannot_be_one(tmp_path: Path) -> None:
    with running(tmp_path / "one") as one:
        port = one.files.rpartition(":")[2]
        line = refused("--data", str(tmp_path / "two"), "--api-port", "0", "--files-port", port)
    assert f"port {port}: Address already in use" in line
    assert "choose another with --files-port" in line


@pytest.mark.parametrize("transaction", [Database.read, Database.write])
def test_an_error_that_ends_the_transaction_is_the_one_reported(
    tmp_path: Path, transaction: Callable[[Database], AbstractContextManager[sqlite3.Connection]]
) -> None:
    database = Database(tmp_path / "server.db")

    def fail() -> None:
        with transaction(database) as db:
            db.execute("ROLLBACK")  # as SQLite does by itself on a full disk or a failed read
            raise LookupError

    with closing(database):
        with pytest.raises(LookupError):
            fail()
        with database.write() as db:
            db.execute("INSERT INTO tasks (id, doc) VALUES ('t', '{}')")


def test_a_full_database_takes_writes_again_once_there_is_space(tmp_path: Path) -> None:
    """SQLite may have rolled back by itself; the next transaction starts all the same."""
    database = Database(tmp_path / "server.db")

    def insert(name: str, size: int) -> None:
        with database.write() as db:
            if size:
                db.execute("PRAGMA max_page_count = 100")
            db.execute("INSERT INTO tasks (id, doc) VALUES (?, json_object('x', ?))", (name, "x" * size))

    with closing(database):
        with pytest.raises(Unavailable, match="no space is left for the database"):
            insert("large", 10**6)
        insert("small", 0)
        with database.read() as db:
            assert [row["id"] for row in db.execute("SELECT id FROM tasks")] == ["small"]
