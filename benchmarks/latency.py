"""Figures of the embedded server: calls with little and with much stored, memory, file throughput.

``python benchmarks/latency.py`` starts three servers (one task and 10^4 events, 1,000 tasks, 10^6 events),
alternates each call between the three, and prints the medians and their ratios; nothing is asserted.
``--baseline FOLDER`` compares the server of another checkout with this one's; both hold 1,000 tasks and
10^6 events.
"""

import argparse
import base64
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil

HERE = Path(__file__).resolve().parents[1]
SCALAR = "training_stats_scalar"
BATCH = 500
ROUNDS = 60
FEW, MANY = 10**4, 10**6
TASKS = 1000


class Client:
    """One connection per call, as the server wants it."""

    def __init__(self, address: dict[str, str], keys: dict[str, str]) -> None:
        self._api, self._files = urlsplit(address["api"]), urlsplit(address["files"])
        pair = base64.b64encode(f"{keys['access_key']}:{keys['secret_key']}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}
        self._token = str(self.call("auth.login")["token"])
        self._headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}

    def call(self, endpoint: str, body: bytes | None = None, **arguments: object) -> dict[str, object]:
        connection = http.client.HTTPConnection(self._api.hostname, self._api.port)
        headers = self._headers | ({"Content-Type": "application/json-lines"} if body else {})
        connection.request("GET", f"/{endpoint}", body or json.dumps(arguments).encode(), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer["meta"]["result_code"] == 200, answer
        return answer["data"]

    def page(self, path: str) -> int:
        """The length of a page."""
        connection = http.client.HTTPConnection(self._api.hostname, self._api.port)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        answer = connection.getresponse()
        size = len(answer.read())
        connection.close()
        assert answer.status == 200, path
        return size

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


@dataclass
class Stored:
    """A running server that holds so much; the calls ask about ``task``, the first one."""

    client: Client
    process: subprocess.Popen[bytes]
    task: str
    queue: str

    @property
    def memory(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


@contextmanager
def server(folder: Path, tasks: int, events: int, checkout: Path = HERE) -> Iterator[Stored]:
    """A server of the checkout with so many tasks and events, all events of the first task."""
    command = [sys.executable, "-m", "server", "--data", str(folder), "--api-port", "0", "--files-port", "0"]
    process = subprocess.Popen(command, cwd=checkout)
    try:
        while not (folder / "server.json").exists():
            time.sleep(0.005)
        address = json.loads((folder / "server.json").read_text())
        client = Client(address, json.loads((folder / "credentials.json").read_text()))
        ids = [str(client.call("tasks.create", name=f"task{n}", type="training")["id"]) for n in range(tasks)]
        for place in range(0, events, BATCH):
            client.call("events.add_batch", batch(ids[0], place))
        yield Stored(client, process, ids[0], str(client.call("queues.get_default")["id"]))
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--baseline", type=Path, help="folder of the checkout to compare with")
    baseline = parser.parse_args().baseline
    sizes = {"little": (1, FEW, HERE), "tasks": (TASKS, FEW, HERE), "events": (1, MANY, HERE)}
    if baseline:
        sizes = {"before": (TASKS, MANY, baseline.resolve()), "now": (TASKS, MANY, HERE)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(server(Path(folder) / name, *size)) for name, size in sizes.items()
        }
        first, *others = servers
        print(f"{'median of a call, ms':42} {first:>8} " + " ".join(f"{name:>8}  ratio" for name in others))
        for name, call in CALLS.items():
            base, *times = interleaved(call, list(servers.values()))
            columns = " ".join(f"{time:8.2f} {time / base:6.2f}" for time in times)
            print(f"{name:42} {base:8.2f} {columns}", flush=True)
        for name, stored in servers.items():
            show(f"memory at the end, {name}", stored.memory, "MB")
        for name, stored in servers.items():
            throughput(name, stored.client)


def interleaved(call: Callable[[Stored, int], object], servers: list[Stored]) -> list[float]:
    """The median of ROUNDS calls on each server, ms; every round calls all of them."""
    times: list[list[float]] = [[] for _ in servers]
    for number in range(ROUNDS):
        for place, stored in enumerate(servers):
            start = time.perf_counter()
            call(stored, number)
            times[place].append((time.perf_counter() - start) * 1000)
    return [statistics.median(each) for each in times]


def throughput(name: str, client: Client) -> None:
    content = os.urandom(64 * 2**20)
    start = time.perf_counter()
    client.upload("bench.bin", content)
    show(f"upload of 64 MiB, {name}", 64 / (time.perf_counter() - start), "MiB/s")
    start = time.perf_counter()
    client.download("bench.bin")
    show(f"download of 64 MiB, {name}", 64 / (time.perf_counter() - start), "MiB/s")


def page(stored: Stored, path: str) -> None:
    """A page of the task, as the browser asks for it."""
    assert stored.client.page(path.format(task=stored.task))


LOOKUP = {"pattern": f"^{'0' * 32}$", "fields": ["runtime.pipeline_job_hash"]}
POLLED = ["id", "status", "status_message"]
TASK_PAGE = "/projects/*/experiments/{task}"
CALLS: dict[str, Callable[[Stored, int], object]] = {
    "auth.login": lambda s, n: s.client.call("auth.login"),
    "queues.get_next_task (empty)": lambda s, n: s.client.call("queues.get_next_task", queue=s.queue),
    "tasks.get_by_id": lambda s, n: s.client.call("tasks.get_by_id", task=s.task),
    "tasks.get_all (poll statuses)": lambda s, n: s.client.call(
        "tasks.get_all", id=[s.task], only_fields=POLLED
    ),
    "tasks.get_all (by name)": lambda s, n: s.client.call("tasks.get_all", name="^task0$", page_size=10),
    "tasks.get_all (cache lookup)": lambda s, n: s.client.call("tasks.get_all", _all_=LOOKUP),
    "tasks.get_all_ex (newest)": lambda s, n: s.client.call(
        "tasks.get_all_ex", order_by=["-last_update"], page=0, page_size=1, only_fields=POLLED
    ),
    "tasks.edit": lambda s, n: s.client.call("tasks.edit", task=s.task, runtime={"n": n}),
    "events.add_batch (1 scalar)": lambda s, n: s.client.call("events.add_batch", line(s.task, MANY + n)),
    "events.add_batch (1 log line)": lambda s, n: s.client.call("events.add_batch", log(s.task, n)),
    "events.get_task_log (last 100)": lambda s, n: s.client.call(
        "events.get_task_log", task=s.task, batch_size=100
    ),
    "events.get_task_events (500 scalars)": lambda s, n: s.client.call(
        "events.get_task_events", task=s.task, event_type=SCALAR, batch_size=500
    ),
    "events.get_task_metrics": lambda s, n: s.client.call("events.get_task_metrics", tasks=[s.task]),
    "events.get_task_latest_scalar_values": lambda s, n: s.client.call(
        "events.get_task_latest_scalar_values", task=s.task
    ),
    "scalar_metrics_iter_histogram (2,000 x 5)": lambda s, n: s.client.call(
        "events.scalar_metrics_iter_histogram", task=s.task, key="iter", samples=2000
    ),
    "scalar_metrics_iter_histogram (100 x 5)": lambda s, n: s.client.call(
        "events.scalar_metrics_iter_histogram", task=s.task, key="iter", samples=100
    ),
    "page: runs": lambda s, n: page(s, "/"),
    "page: tasks": lambda s, n: page(s, "/tasks"),
    "page: console of a task": lambda s, n: page(s, TASK_PAGE + "/output/log"),
    "page: scalars of a task": lambda s, n: page(s, TASK_PAGE + "/info-output/metrics/scalar"),
    "tasks.create": lambda s, n: s.client.call("tasks.create", name="task", type="training"),
}


def batch(task: str, place: int) -> bytes:
    return b"\n".join(line(task, place + n) for n in range(BATCH))


def line(task: str, number: int) -> bytes:
    scalar = {"type": SCALAR, "task": task, "metric": "loss", "variant": f"v{number % 5}"}
    return json.dumps({**scalar, "iter": number, "value": 1 / (number + 1), "timestamp": number}).encode()


def log(task: str, number: int) -> bytes:
    return json.dumps({"type": "log", "task": task, "msg": f"line {number}", "timestamp": number}).encode()


def show(name: str, figure: float, unit: str) -> None:
    print(f"{name:42} {figure:8.2f} {unit}")


if __name__ == "__main__":
    main()
