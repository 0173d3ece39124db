"""What the server notices by itself. The real clock, moved on by telling the watchdog the time."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.embedded import Embedded, running, wait_for

from server.database import Database
from server.watchdog import Watchdog


def run_by_agent(server: Embedded) -> str:
    """A task as a worker leaves it that dies in the middle."""
    task = server.new_task()
    queue = server.call("queues.get_default").data["id"]
    server.call("tasks.enqueue", task=task)
    server.call("queues.get_next_task", queue=queue)
    server.call("tasks.started", task=task, force=True)
    server.call("workers.status_report", worker="w1", task=task, queue=queue, queues=[queue], timestamp=1)
    return task


@pytest.fixture
def database(server: Embedded) -> Iterator[Database]:
    """A second view on the server's file, as the watchdog inside the server has it."""
    with closing(Database(server.data / "server.db")) as opened:
        yield opened


def test_a_lost_worker_fails_its_task(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--worker-timeout", "1") as server:
        task = run_by_agent(server)
        wait_for(lambda: server.task(task)["status"] == "failed", "the watchdog")
        assert server.task(task)["status_reason"].startswith("worker lost: w1, no sign of life for 0:00:0")


def test_a_failed_task_can_be_enqueued_again(server: Embedded, database: Database) -> None:
    """Failed, not stopped: a controller's retry_on_failure enqueues it once more."""
    task = run_by_agent(server)
    Watchdog(database, 120).look(time.time() + 121)
    assert server.task(task)["status"] == "failed"
    assert server.call("tasks.enqueue", task=task).data["queued"] == 1


@pytest.mark.parametrize("sign", ["status report", "ping", "log line"])
def test_any_sign_of_life_counts(server: Embedded, database: Database, sign: str) -> None:
    task = run_by_agent(server)
    watchdog, start = Watchdog(database, 2), time.time()
    wait_for(lambda: time.time() > start + 1.2, "a second to pass")
    if sign == "status report":
        server.call("workers.status_report", worker="w1", task=task, timestamp=1)
    elif sign == "ping":
        server.call("tasks.ping", task=task)
    else:
        server.events({"type": "log", "task": task, "msg": "alive", "timestamp": 1})
    watchdog.look(start + 3)
    assert server.task(task)["status"] == "in_progress"


def test_a_task_that_was_being_stopped_is_stopped(server: Embedded, database: Database) -> None:
    task = run_by_agent(server)
    server.call("tasks.stop", task=task)
    Watchdog(database, 120).look(time.time() + 121)
    assert server.task(task)["status"] == "stopped"


def test_a_task_without_a_worker_has_two_hours(server: Embedded, database: Database) -> None:
    task = server.new_task()
    server.call("tasks.started", task=task)
    Watchdog(database, 120).look(time.time() + 7000)
    assert server.task(task)["status"] == "in_progress"
    Watchdog(database, 120).look(time.time() + 7300)
    assert server.task(task)["status"] == "stopped"


def test_tasks_taken_from_a_queue_and_never_started_are_requeued(
    server: Embedded, database: Database
) -> None:
    task, queue = server.new_task(), server.call("queues.get_default").data["id"]
    server.call("tasks.enqueue", task=task)
    server.call("queues.get_next_task", queue=queue)
    watchdog = Watchdog(database, 120)
    watchdog.look(time.time() + 50)
    assert server.call("queues.get_next_task", queue=queue).data == {}
    watchdog.look(time.time() + 70)
    assert server.call("queues.get_next_task", queue=queue).data["entry"]["task"] == task


def test_a_laptop_that_slept_fails_nothing(tmp_path: Path) -> None:
    """SIGSTOP is the sleep: the clock runs on, the server does not."""
    import signal

    with running(tmp_path / "data", "--worker-timeout", "4") as server:
        task = run_by_agent(server)
        server.process.send_signal(signal.SIGSTOP)
        asleep = time.time()
        wait_for(lambda: time.time() > asleep + 9, "a long sleep", 12)
        server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: "the machine slept" in server.log.read_text(), "the server to notice")
        assert server.task(task)["status"] == "in_progress"
        wait_for(lambda: server.task(task)["status"] == "failed", "the timeout after waking")


def test_a_manual_rerun_is_independent_of_the_old_worker(server: Embedded, database: Database) -> None:
    task = run_by_agent(server)
    server.call("tasks.stopped", task=task)
    server.call("tasks.started", task=task, force=True)
    Watchdog(database, 120).look(time.time() + 121)
    assert server.task(task)["status"] == "in_progress"
