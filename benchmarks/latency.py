"""Figures of the embedded server: start, memory, latency with many events stored, and file throughput.

``python benchmarks/latency.py [events]`` prints a table; nothing is asserted.
"""

import base64
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil

BATCH = 500
CALLS = 300


class Client:
    """One connection per call, as the server wants it."""

    def __init__(self, address: dict[str, str], keys: dict[str, str]) -> None:
        self._api, self._files = urlsplit(address["api"]), urlsplit(address["files"])
        pair = base64.b64encode(f"{keys['access_key']}:{keys['secret_key']}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}
        token = self.call("auth.login")["token"]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, endpoint: str, body: bytes | None = None, **arguments: object) -> dict[str, object]:
        connection = http.client.HTTPConnection(self._api.hostname, self._api.port)
        headers = self._headers | ({"Content-Type": "application/json-lines"} if body else {})
        connection.request("GET", f"/{endpoint}", body or json.dumps(arguments).encode(), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer["meta"]["result_code"] == 200, answer
        return answer["data"]

    def upload(self, path: str, content: bytes) -> None:
        boundary = uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{path}"; filename="x"\r\n\r\n'.encode()
        body = head + content + f"\r\n--{boundary}--\r\n".encode()
        connection = http.client.HTTPConnection(self._files.hostname, self._files.port)
        kind = f"multipart/form-data; boundary={boundary}"
        connection.request("POST", "/", body, self._headers | {"Content-Type": kind})
        assert connection.getresponse().read()
        connection.close()

    def download(self, path: str) -> int:
        connection = http.client.HTTPConnection(self._files.hostname, self._files.port)
        connection.request("GET", f"/{path}", headers=self._headers)
        size = len(connection.getresponse().read())
        connection.close()
        return size


def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        start = time.perf_counter()
        ports = ["--api-port", "0", "--files-port", "0"]
        command = [sys.executable, "-m", "server", "--data", str(data), *ports]
        process = subprocess.Popen(command)
        try:
            while not (data / "server.json").exists():
                time.sleep(0.005)
            show("start", time.perf_counter() - start, "s")
            address = json.loads((data / "server.json").read_text())
            measure(Client(address, json.loads((data / "credentials.json").read_text())), process.pid, events)
            show("memory at the end", psutil.Process(process.pid).memory_info().rss / 1e6, "MB")
        finally:
            process.terminate()
            start = time.perf_counter()
            process.wait()
        show("stop", time.perf_counter() - start, "s")


def measure(client: Client, pid: int, events: int) -> None:
    show("memory at the start", psutil.Process(pid).memory_info().rss / 1e6, "MB")
    tasks = [str(client.call("tasks.create", name=f"t{n}", type="training")["id"]) for n in range(200)]
    start = time.perf_counter()
    for place in range(0, events, BATCH):
        client.call("events.add_batch", batch(tasks[place // BATCH % 20], place))
    show(f"{events} events stored", events / (time.perf_counter() - start), "events/s")
    task, queue = tasks[0], client.call("queues.get_default")["id"]
    lookup = {"pattern": f"^{'0' * 32}$", "fields": ["runtime.pipeline_job_hash"]}
    calls: dict[str, Callable[[int], object]] = {
        "tasks.get_by_id": lambda n: client.call("tasks.get_by_id", task=task),
        "tasks.get_all (poll 5 statuses)": lambda n: client.call(
            "tasks.get_all", id=tasks[:5], only_fields=["id", "status", "status_message"]
        ),
        "tasks.get_all (cache lookup)": lambda n: client.call("tasks.get_all", _all_=lookup),
        "tasks.edit": lambda n: client.call("tasks.edit", task=tasks[50], runtime={"n": n}),
        "tasks.create": lambda n: client.call("tasks.create", name="x", type="training"),
        "events.add_batch (1 scalar)": lambda n: client.call("events.add_batch", line(task, 10**6 + n)),
        "events.scalar_metrics_iter_histogram": lambda n: client.call(
            "events.scalar_metrics_iter_histogram", task=task, key="iter"
        ),
        "queues.get_next_task (empty)": lambda n: client.call("queues.get_next_task", queue=queue),
        "auth.login": lambda n: client.call("auth.login"),
    }
    medians = [median(name, call) for name, call in calls.items()]
    show("median of the medians", statistics.median(medians), "ms")
    content = os.urandom(64 * 2**20)
    start = time.perf_counter()
    client.upload("bench.bin", content)
    show("upload of 64 MiB", 64 / (time.perf_counter() - start), "MiB/s")
    start = time.perf_counter()
    client.download("bench.bin")
    show("download of 64 MiB", 64 / (time.perf_counter() - start), "MiB/s")


def median(name: str, call: Callable[[int], object]) -> float:
    times = []
    for number in range(CALLS):
        start = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - start) * 1000)
    middle = statistics.median(times)
    show(name, middle, f"ms median, {statistics.quantiles(times, n=100)[98]:.1f} ms p99")
    return middle


def batch(task: str, place: int) -> bytes:
    return b"\n".join(line(task, place + n) for n in range(BATCH))


def line(task: str, number: int) -> bytes:
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "loss", "variant": f"v{number % 5}"}
    return json.dumps({**scalar, "iter": number, "value": 1 / (number + 1), "timestamp": number}).encode()


def show(name: str, figure: float, unit: str) -> None:
    print(f"{name:40} {figure:10.2f} {unit}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
