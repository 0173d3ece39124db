"""The data folder through its life: schemas, backups, and what the archive keeps."""

import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.embedded import Embedded, fetch, running
from support.uploads import CONTENT, upload

from server.database import Database, migrations
from server.errors import StartError
from server.files.tree import Tree
from server.retention import Retention


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments], capture_output=True, text=True, timeout=600
    )


def refused(*arguments: str) -> str:
    done = command(*arguments)
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


NEXT = ("ALTER TABLE workers ADD COLUMN colour TEXT;\nUPDATE workers SET colour = 'red';",)


def test_an_older_database_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    with closing(Database(path)) as old, old.write() as db:
        db.execute("INSERT INTO workers (id, doc) VALUES ('w', '{}')")
    for _ in range(2):
        with closing(Database(path, migrations() + NEXT)) as new, new.read() as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == len(migrations()) + 1
            assert db.execute("SELECT colour FROM workers").fetchone()[0] == "red"
    with closing(Database(tmp_path / "fresh.db", migrations() + NEXT)):
        pass
    assert schema(path) == schema(tmp_path / "fresh.db")


def test_events_are_counted_from_before_and_from_now_on(tmp_path: Path) -> None:
    event = (
        "INSERT INTO events (task, type, iter, timestamp, doc) VALUES (?, ?, ?, 0, '{}')"
        " ON CONFLICT (task, type, metric, variant, iter) WHERE type <> 'log' DO UPDATE SET timestamp = 1"
    )
    with closing(Database(tmp_path / "server.db", migrations()[:1])) as old, old.write() as db:
        db.executemany(event, [("a", "log", 0), ("a", "log", 0), ("a", "plot", 1), ("b", "plot", 1)])
    with closing(Database(tmp_path / "server.db")) as new, new.write() as db:
        db.executemany(event, [("a", "log", 0), ("a", "plot", 1), ("a", "plot", 2), ("c", "plot", 1)])
        db.execute("DELETE FROM events WHERE task = 'b'")
        counted = db.execute("SELECT * FROM event_counts ORDER BY task, type").fetchall()
        assert [tuple(row) for row in counted] == [("a", "log", 3), ("a", "plot", 2), ("c", "plot", 1)]


def test_a_failed_migration_leaves_the_previous_schema(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    with closing(Database(path)):
        before = schema(path)
    half = ("CREATE TABLE half (id TEXT);\nINSERT INTO nowhere VALUES (1);",)
    with pytest.raises(StartError, match="no such table: nowhere"):
        Database(path, migrations() + half)
    assert schema(path) == before
    with closing(Database(path)) as again, again.read() as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(migrations())


def test_a_database_of_a_newer_server_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    with closing(Database(path, migrations() + NEXT)):
        pass
    newer = rf"server\.db: a newer server wrote it \(schema {len(migrations()) + 1}\)"
    with pytest.raises(StartError, match=newer):
        Database(path)


def test_a_backup_of_a_running_server_and_its_restore(server: Embedded, tmp_path: Path) -> None:
    task = server.new_task(name="kept")
    upload(server, f"p/kept.{task}/artifacts/a/état.bin")
    written: list[str] = []
    going = threading.Event()

    def write() -> None:
        while not going.is_set():
            path = f"p/{len(written)}.bin"
            upload(server, path)
            server.call("models.create", name=path, uri=f"{server.files}/{path}")
            written.append(path)

    writer = threading.Thread(target=write)
    writer.start()
    while len(written) < 10:
        time.sleep(0.01)
    done = command("backup", "--data", str(server.data), str(tmp_path / "all.tar"))
    going.set()
    writer.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path / 'all.tar'}: " in done.stdout
    assert (tmp_path / "all.tar").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    done = command("restore", "--data", str(tmp_path / "restored"), str(tmp_path / "all.tar"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"restored {tmp_path / 'restored'}; serve it" in done.stdout
    with running(tmp_path / "restored") as restored:
        assert (restored.access_key, restored.secret_key) == (server.access_key, server.secret_key)
        assert restored.task(task)["name"] == "kept"
        found = fetch(f"{restored.files}/p/kept.{task}/artifacts/a/%C3%A9tat.bin", headers=restored.bearer)
        assert found.body == CONTENT
        models = restored.call("models.get_all").data["models"]
        assert len(models) >= 10
        for model in models:
            assert fetch(f"{restored.files}/{model['name']}", headers=restored.bearer).body == CONTENT


def test_a_backup_replaces_nothing(server: Embedded, tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("private")
    assert "exists" in refused("backup", "--data", str(server.data), str(tmp_path / "diary"))
    assert (tmp_path / "diary").read_text() == "private"
    assert "no data folder" in refused("backup", "--data", str(tmp_path), str(tmp_path / "new"))
    assert "cannot write the backup" in refused("backup", "--data", str(server.data), "/no/such/folder/x")
    command("backup", "--data", str(server.data), str(tmp_path / "tar"))
    assert "is not empty" in refused("restore", "--data", str(server.data), str(tmp_path / "tar"))
    assert server.call("tasks.get_all").status == 200


def hostile(folder: Path) -> Iterator[tuple[str, Path]]:
    """Archives that are none of ours, with what each is refused for."""
    (folder / "text").write_text("no tar")
    yield "cannot restore", folder / "text"
    for number, name in enumerate(["../evil", "/etc/evil", "files/../../evil", "files", "files//a", "other"]):
        path = folder / f"{number}.tar"
        with tarfile.open(path, "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        yield "no backup of this server", path
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        path = folder / f"{kind!r}.tar"
        with tarfile.open(path, "w") as tar:
            member = tarfile.TarInfo("files/a")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        yield "no backup of this server", path


def test_restore_refuses_anything_but_a_backup(tmp_path: Path) -> None:
    for reason, archive in list(hostile(tmp_path)):
        before = sorted(tmp_path.iterdir())
        assert reason in refused("restore", "--data", str(tmp_path / "new"), str(archive))
        assert sorted(tmp_path.iterdir()) == before


def archived_task(server: Embedded, name: str) -> str:
    """A finished task with an artifact, an image, a curve and a log line, in the archive."""
    task = server.new_task(name=name)
    artifact, image = f"p/{name}.{task}/artifacts/a.bin", f"p/{name}.{task}/metrics/i.png"
    upload(server, artifact)
    upload(server, image)
    artifacts = [{"key": "a", "type": "custom", "uri": f"{server.files}/{artifact}"}]
    server.call("tasks.add_or_update_artifacts", task=task, artifacts=artifacts)
    server.events(
        {"type": "log", "task": task, "msg": "hello", "timestamp": 1},
        {"type": "training_stats_scalar", "task": task, "metric": "f2", "variant": "v", "value": 0.9},
        {"type": "training_debug_image", "task": task, "metric": "i", "url": f"{server.files}/{image}"},
    )
    server.call("tasks.completed", task=task, force=True)
    server.call("tasks.archive", tasks=[task])
    return task


def files_of(server: Embedded) -> set[str]:
    return {path.name for path in (server.data / "files").rglob("*") if path.is_file()}


def test_old_archived_tasks_are_emptied(server: Embedded) -> None:
    task = archived_task(server, "old")
    with closing(Database(server.data / "server.db")) as database:
        retention = Retention(database, Tree(server.data / "files"), 30)
        retention.look(time.time() + 29 * 86400)
        assert files_of(server) == {"a.bin", "i.png"}
        retention.look(time.time() + 31 * 86400)
    assert files_of(server) == set()
    assert server.call("events.get_task_events", task=task).data["events"] == []
    kept = server.task(task)
    assert (kept["status"], kept["execution"]["artifacts"]) == ("completed", [])
    assert kept["status_message"] == "events and files removed after 30 days in the archive"
    assert [v["value"] for m in kept["last_metrics"].values() for v in m.values()] == [0.9]


def test_retention_keeps_what_other_tasks_need(server: Embedded) -> None:
    """Not archived, archived and taken back, and named by a later version that is not archived."""
    loose = archived_task(server, "loose")
    server.call("tasks.unarchive_many", ids=[loose])
    parent = archived_task(server, "parent")
    struct = {"Dataset Struct": {"name": "Dataset Struct", "value": json.dumps({"0": {"parent": parent}})}}
    server.new_task(name="child", configuration=struct)
    with closing(Database(server.data / "server.db")) as database:
        Retention(database, Tree(server.data / "files"), 0).look(time.time() + 86400)
    for task in (loose, parent):
        assert len(server.call("events.get_task_events", task=task).data["events"]) == 3
        assert (
            fetch(server.task(task)["execution"]["artifacts"][0]["uri"], headers=server.bearer).status == 200
        )


def test_the_server_empties_archived_tasks_with_keep_archived_days(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        archived_task(server, "old")
    with running(tmp_path / "data") as server:
        assert files_of(server) == {"a.bin", "i.png"}
    with running(tmp_path / "data", "--keep-archived-days", "0") as server:
        deadline = time.monotonic() + 60
        while files_of(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert files_of(server) == set()
