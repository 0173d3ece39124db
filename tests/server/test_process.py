"""The process: how it starts, how it refuses to, how it ends, and what a kill -9 costs (nothing)."""

import json
import re
import signal
import socket
import sqlite3
import threading
import time
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.embedded import Embedded, fetch, refused, running, wait_for


def test_the_addresses_are_announced_once_the_sockets_listen(server: Embedded) -> None:
    address = json.loads((server.data / "server.json").read_text())
    assert address["pid"] == server.process.pid
    web = urlsplit(address["web"])
    assert re.fullmatch(r"clearml-[0-9a-f]{12}\.localhost", web.hostname or "")
    assert web.port == urlsplit(address["api"]).port == address["port"]
    assert len({address["api"], address["files"]}) == 2
    for url in (address["api"], address["files"]):
        assert urlsplit(url).hostname == "127.0.0.1"
        assert fetch(url + "/").status == 401


def test_it_listens_on_this_machine_only(server: Embedded) -> None:
    import psutil

    listening = [
        c for c in psutil.Process(server.process.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused("--data", str(tmp_path / "d"), "--api-port", port, "--files-port", "0")
    assert f"port {port}" in line
    assert "--api-port" in line


def test_a_second_server_on_the_same_folder(server: Embedded) -> None:
    line = refused("--data", str(server.data), "--api-port", "0", "--files-port", "0")
    assert "another server runs" in line
    assert (server.data / "server.json").exists()
    assert server.call("tasks.get_all").status == 200


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    line = refused("--data", str(tmp_path / "file"), "--api-port", "0", "--files-port", "0")
    assert "cannot write the data folder" in line


def test_a_folder_that_belongs_to_something_else(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("private")
    before = tmp_path.stat().st_mode
    assert "is not empty" in refused("--data", str(tmp_path), "--api-port", "0", "--files-port", "0")
    assert tmp_path.stat().st_mode == before


def test_damaged_files_are_named(server: Embedded) -> None:
    server.stop()
    ports = ("--data", str(server.data), "--api-port", "0", "--files-port", "0")
    with sqlite3.connect(server.data / "server.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert "a newer server wrote it (schema 99)" in refused(*ports)
    (server.data / "server.db").write_bytes(b"no database" * 1000)
    assert "cannot open the database" in refused(*ports)
    (server.data / "credentials.json").write_text("{")
    assert "credentials.json" in refused(*ports)


def test_a_link_without_a_server(tmp_path: Path) -> None:
    assert "no server runs" in refused("link", "--data", str(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_at_once_with_clients_connected(server: Embedded, number: int) -> None:
    host = urlsplit(server.api)
    with socket.create_connection((host.hostname, host.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        start = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - start < 3
    assert not (server.data / "server.json").exists()
    assert "Traceback" not in server.log.read_text()


def test_keys_and_data_outlive_a_restart(server: Embedded) -> None:
    task, keys = server.new_task(), (server.access_key, server.secret_key)
    token = server.bearer
    server.stop()
    server.start()
    assert (server.access_key, server.secret_key) == keys
    assert fetch(f"{server.api}/tasks.get_by_id?task={task}", headers=token).data["task"]["id"] == task


def test_kill_9_loses_nothing_that_was_acknowledged(server: Embedded) -> None:
    """Four clients write without a pause; the server is killed in the middle and started again."""
    acknowledged: list[str] = []
    task = server.new_task()

    def write(client: int) -> None:
        number = 0
        while True:
            name = f"{client}-{number}"
            try:
                server.call("tasks.create", name=name, type="training")
                server.events({"type": "log", "task": task, "msg": name, "timestamp": number})
            except (OSError, HTTPException):  # the answer never came, or only half of it
                return
            acknowledged.append(name)
            number += 1

    clients = [threading.Thread(target=write, args=(client,)) for client in range(4)]
    for client in clients:
        client.start()
    wait_for(lambda: len(acknowledged) > 100, "a hundred acknowledged writes")
    server.stop(signal.SIGKILL)
    for client in clients:
        client.join()
    server.start()
    names = {found["name"] for found in server.call("tasks.get_all", only_fields=["name"]).data["tasks"]}
    logged = {
        event["msg"]
        for event in server.call("events.get_task_events", task=task, batch_size=10000).data["events"]
    }
    assert set(acknowledged) <= names
    assert set(acknowledged) <= logged
    with sqlite3.connect(server.data / "server.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_call_that_fails_changes_nothing(server: Embedded) -> None:
    """The last of three ids is unknown: the two before it do not move."""
    tasks = [server.new_task() for _ in range(2)]
    answer = server.call("tasks.move", ids=[*tasks, "unknown"], project_name="elsewhere")
    assert answer.error == (400, 101)
    assert all("project" not in server.task(task) for task in tasks)
    assert server.call("projects.get_all", name="elsewhere").data["projects"] == []


def test_concurrent_calls_lose_no_update(server: Embedded) -> None:
    task = server.new_task()

    def report(series: int) -> None:
        for number in range(20):
            event = {
                "metric": "m",
                "variant": str(series),
                "iter": number,
                "value": number,
                "timestamp": number,
            }
            assert server.events({"type": "training_stats_scalar", "task": task, **event}).data["added"] == 1

    threads = [threading.Thread(target=report, args=(series,)) for series in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (variants,) = server.task(task)["last_metrics"].values()
    assert sorted((entry["variant"], entry["count"]) for entry in variants.values()) == [
        (str(series), 20) for series in range(4)
    ]


def test_one_task_is_given_to_one_agent(server: Embedded) -> None:
    queue = server.call("queues.get_default").data["id"]
    tasks = [server.new_task() for _ in range(20)]
    for task in tasks:
        server.call("tasks.enqueue", task=task)
    taken: list[str] = []

    def take() -> None:
        while entry := server.call("queues.get_next_task", queue=queue).data.get("entry"):
            taken.append(entry["task"])

    agents = [threading.Thread(target=take) for _ in range(6)]
    for thread in agents:
        thread.start()
    for thread in agents:
        thread.join()
    assert sorted(taken) == sorted(tasks)


def test_an_unknown_call_is_logged_once(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        for _ in range(3):
            assert server.call("no.such_call").status == 404
        assert server.log.read_text().count("no.such_call") == 1
