"""Statistics of queues and workers, through the SDK's ``APIClient``."""

import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from clearml.backend_api.session.client import APIClient, APIError
from support.embedded import Embedded

HOUR = 3600
NEVER = {"from_date": 100, "to_date": 200, "interval": 10}


def period(interval: int = HOUR) -> dict[str, Any]:
    """The last hour and the next, in seconds since the epoch."""
    now = time.time()
    return {"from_date": now - HOUR, "to_date": now + HOUR, "interval": interval}


def data(answer: Any) -> Any:
    return answer.response.to_dict()


def queue_series(client: APIClient, *queues: str, **options: Any) -> list[dict[str, Any]]:
    asked = {**period(1), **options}
    series: list[dict[str, Any]] = data(client.queues.get_queue_metrics(queue_ids=list(queues), **asked))[
        "queues"
    ]
    return series


def test_a_queue_is_measured_at_every_change(client: APIClient, shared: Embedded) -> None:
    queue, other = (client.queues.create(name=name).id for name in ("measured", "unused"))
    tasks = [shared.new_task() for _ in range(3)]
    start = int(time.time())
    for task in tasks:
        client.queues.add_task(queue=queue, task=task)
    changed, unchanged = queue_series(client, queue, other)
    assert (changed["queue"], unchanged) == (
        queue,
        {"queue": other, "dates": [], "avg_waiting_times": [], "queue_lengths": []},
    )
    assert changed["dates"] == sorted(set(changed["dates"]))
    assert all(start <= date <= time.time() for date in changed["dates"])
    assert set(changed["queue_lengths"]) <= {1, 2, 3}
    assert all(0 <= waiting <= time.time() - start for waiting in changed["avg_waiting_times"])
    (hour,) = queue_series(client, queue, interval=4 * HOUR)
    assert len(hour["dates"]) <= 2, "one point per interval"
    assert hour["dates"][0] % (4 * HOUR) == 0


def test_of_several_changes_the_longest_wait_counts(client: APIClient, shared: Embedded) -> None:
    """Of each queue; without named queues, the mean of them."""
    queues = [client.queues.create(name=f"history {n}").id for n in range(2)]
    rows = [
        (queues[0], 105, 7, 3.0),
        (queues[0], 106, 2, 9.0),
        (queues[0], 111, 1, 0.5),
        (queues[1], 109, 4, 1.0),
    ]
    with closing(sqlite3.connect(shared.data / "server.db")) as db, db:
        db.executemany("INSERT INTO queue_history (queue, time, length, waiting) VALUES (?, ?, ?, ?)", rows)
    first, second = queue_series(client, *queues, **NEVER)
    assert first == {
        "queue": queues[0],
        "dates": [100, 110],
        "avg_waiting_times": [9.0, 0.5],
        "queue_lengths": [2, 1],
    }
    assert (second["dates"], second["queue_lengths"]) == ([100], [4])
    (everything,) = queue_series(client, **NEVER)
    assert everything == {
        "queue": "all",
        "dates": [100, 110],
        "avg_waiting_times": [5.0, 0.5],
        "queue_lengths": [3, 1],
    }
    assert (
        shared.call("queues.get_queue_metrics", **NEVER | {"to_date": 105}).data["queues"][0]["dates"] == []
    )


def test_all_queues_are_averaged_and_refreshed(client: APIClient, shared: Embedded) -> None:
    before = client.queues.create(name="quiet").id
    assert queue_series(client, before)[0]["dates"] == []
    (now,) = queue_series(client, before, refresh=True)
    assert (now["queue_lengths"], now["avg_waiting_times"]) == ([0], [0])
    (everything,) = queue_series(client, refresh=True)
    assert everything["queue"] == "all"
    assert len(everything["dates"]) == len(everything["queue_lengths"]) > 0


def test_a_deleted_queue_has_no_metrics(client: APIClient, shared: Embedded) -> None:
    queue = client.queues.create(name="short-lived").id
    client.queues.add_task(queue=queue, task=shared.new_task())
    client.queues.delete(queue=queue, force=True)
    with pytest.raises(APIError) as error:
        client.queues.get_queue_metrics(queue_ids=[queue], **period())
    assert error.value.codes == (400, 701)


def report(shared: Embedded, worker: str, task: str | None = None, **stats: Any) -> None:
    """A status report as agents send it: times in milliseconds."""
    now = int(time.time() * 1000)
    arguments = {"worker": worker, "task": task, "machine_stats": stats or None, "timestamp": now}
    assert shared.call("workers.status_report", **arguments).status == 200


@pytest.fixture(scope="module")
def machines(shared: Embedded) -> dict[str, str]:
    """Two workers that have reported: one with two cores and a task, one idle and without statistics."""
    task = shared.new_task()
    report(shared, "busy", task, cpu_usage=[10, 30], memory_used=100, gpu_usage=[], disk_write=None)
    report(shared, "busy", task, cpu_usage=[20, 60], memory_used=300)
    report(shared, "idle")
    return {"task": task}


def statistics(client: APIClient, *items: tuple[str, str], **options: Any) -> Any:
    asked = [{"key": key, "category": category} for key, category in items]
    return data(client.workers.get_stats(items=asked, **{**period(4 * HOUR), **options}))["workers"]


def test_statistics_of_workers(client: APIClient, machines: dict[str, str]) -> None:
    wanted = [("cpu_usage", "avg"), ("cpu_usage", "max"), ("memory_used", "min"), ("unknown", "avg")]
    (busy,) = statistics(client, *wanted)
    assert busy["worker"] == "busy"
    cpu, memory = busy["metrics"]
    assert cpu["metric"] == "cpu_usage"
    assert cpu["stats"] == [{"aggregation": "avg", "values": [30]}, {"aggregation": "max", "values": [60]}]
    assert (memory["metric"], memory["stats"]) == ("memory_used", [{"aggregation": "min", "values": [100]}])
    assert len(cpu["dates"]) == 1
    assert statistics(client, ("cpu_usage", "avg"), worker_ids=["idle"]) == []
    assert statistics(client, ("cpu_usage", "avg"), **NEVER) == []


def test_statistics_of_each_core(client: APIClient, machines: dict[str, str]) -> None:
    wanted = [("cpu_usage", "avg"), ("memory_used", "max")]
    (busy,) = statistics(client, *wanted, split_by_variant=True, worker_ids=["busy"])
    values = {metric["variant"]: metric["stats"][0]["values"] for metric in busy["metrics"]}
    assert values == {"cpu0": [15], "cpu1": [45], "total": [300]}


def test_the_metrics_of_workers(client: APIClient, machines: dict[str, str]) -> None:
    assert data(client.workers.get_metric_keys(worker_ids=["busy"]))["categories"] == [
        {"name": "cpu", "metric_keys": ["cpu_usage"]},
        {"name": "memory", "metric_keys": ["memory_used"]},
    ]
    assert data(client.workers.get_metric_keys(worker_ids=["idle"]))["categories"] == []


def test_the_activity_of_workers(client: APIClient, machines: dict[str, str]) -> None:
    activity = data(client.workers.get_activity_report(**period(HOUR // 2)))
    for name, count in (("total", 2), ("active", 1)):
        assert len(activity[name]["dates"]) == len(activity[name]["counts"]) in (4, 5)
        assert [item for item in activity[name]["counts"] if item] == [count]


def test_a_report_of_a_wrong_clock_counts_when_it_arrives(client: APIClient, shared: Embedded) -> None:
    shared.call("workers.status_report", worker="wrong clock", timestamp=10, machine_stats={"cpu_usage": [1]})
    assert statistics(client, ("cpu_usage", "avg"), worker_ids=["wrong clock"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_date": 200, "to_date": 100},
        {"from_date": -1},
        {"to_date": 1e300},
        {"from_date": "yesterday"},
        {"interval": 0},
        {"interval": 1, "from_date": 0, "to_date": 1e9},
        {"interval": None},
    ],
)
@pytest.mark.parametrize(
    "call", ["queues.get_queue_metrics", "workers.get_activity_report", "workers.get_stats"]
)
def test_an_impossible_period_is_refused(shared: Embedded, call: str, wrong: dict[str, Any]) -> None:
    items = {"items": [{"key": "cpu_usage", "category": "avg"}]} if call == "workers.get_stats" else {}
    assert shared.call(call, **NEVER, **items).status == 200
    assert shared.call(call, **{**NEVER, **items, **wrong}).status == 400


def test_the_queue_of_a_workers_task_is_described(client: APIClient, shared: Embedded) -> None:
    """As an entry: of a plain id, ClearML's optimizer could not read a single worker."""
    queue = client.queues.create(name="served").id
    body = {
        "worker": "serving",
        "task": shared.new_task(),
        "queue": queue,
        "timestamp": int(time.time() * 1000),
    }
    assert shared.call("workers.status_report", **body).status == 200
    (worker,) = [worker for worker in client.workers.get_all() if worker.id == "serving"]
    assert (worker.data.queue.id, worker.data.queue.name) == (queue, "served")
