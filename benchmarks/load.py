"""The embedded server under load: 50 polling workers, 8 tasks of the real SDK that report, the page open.

Each task reports 50 scalars a second; pollers ask their queue twice a second, as our agents do, and a reader
fetches the runs page every second. Printed: the latency of the pollers' calls, answers that were no 200,
memory, and whether every scalar is stored, once and in its order.

    python benchmarks/load.py --seconds 60
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from latency import Client, show

WORKERS, TASKS, RATE = 50, 8, 50

REPORTER = """
import sys, time
from clearml import Task
name, seconds, rate = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
task = Task.init("load", name, auto_resource_monitoring=False, auto_connect_frameworks=False)
logger, began = task.get_logger(), time.monotonic()
for number in range(int(seconds * rate)):
    logger.report_scalar("metric", "value", number, iteration=number)
    time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
task.close()
print(task.id)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        command = [
            sys.executable,
            "-m",
            "server",
            "--data",
            str(data),
            "--api-port",
            "0",
            "--files-port",
            "0",
        ]
        server = subprocess.Popen(command)
        try:
            while not (data / "server.json").exists():
                time.sleep(0.01)
            load(data, Path(folder), server.pid, seconds)
        finally:
            server.terminate()
            server.wait()


def load(data: Path, home: Path, pid: int, seconds: int) -> None:
    """Run reporters, pollers and a reader together, then look at what was stored."""
    address = json.loads((data / "server.json").read_text())
    keys = json.loads((data / "credentials.json").read_text())
    client = Client(address, keys)
    reporters = [reporter(address, keys, home, f"task-{number}", seconds) for number in range(TASKS)]
    stop, times, peak = threading.Event(), [], 0
    queue = client.call("queues.get_default")["id"]
    threads = [threading.Thread(target=poll, args=(client, queue, stop, times)) for _ in range(WORKERS)]
    threads.append(threading.Thread(target=read, args=(client, stop, times)))
    for thread in threads:
        thread.start()
    while any(process.poll() is None for process in reporters):
        peak = max(peak, psutil.Process(pid).memory_info().rss)
        time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    outputs = [process.communicate() for process in reporters]
    show("polls", len(times), "calls, all answered with 200")
    show("median of a call", statistics.median(times), "ms")
    show("99th percentile", statistics.quantiles(times, n=100)[98], "ms")
    show("memory, at most", peak / 1e6, "MB")
    show("client retries", sum(text.count("Retry") for _, text in outputs), "")
    for output, _ in outputs:
        check(client, output.strip().splitlines()[-1], seconds * RATE)
    show("scalars stored, in order", TASKS * seconds * RATE, "of as many")


def reporter(address: dict, keys: dict, home: Path, name: str, seconds: int) -> subprocess.Popen:
    environment = os.environ | {
        "CLEARML_API_HOST": address["api"],
        "CLEARML_WEB_HOST": address["web"],
        "CLEARML_FILES_HOST": address["files"],
        "CLEARML_API_ACCESS_KEY": keys["access_key"],
        "CLEARML_API_SECRET_KEY": keys["secret_key"],
        "CLEARML_CONFIG_FILE": str(home / "none.conf"),
    }
    command = [sys.executable, "-c", REPORTER, name, str(seconds), str(RATE)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=home, stdout=pipe, stderr=pipe, text=True)


def poll(client: Client, queue: str, stop: threading.Event, times: list[float]) -> None:
    """An idle worker."""
    while not stop.wait(0.5):
        timed(lambda: client.call("queues.get_next_task", queue=queue), times)


def read(client: Client, stop: threading.Event, times: list[float]) -> None:
    """What a page that is open asks for: the newest tasks."""
    while not stop.wait(1.0):
        timed(lambda: client.call("tasks.get_all_ex", order_by=["-last_update"], page=0, page_size=50), times)


def timed(call, times: list[float]) -> None:
    start = time.perf_counter()
    call()
    times.append((time.perf_counter() - start) * 1000)


def check(client: Client, task: str, count: int) -> None:
    """Every scalar is there once, and in its order; raises SystemExit if not."""
    asked = {"task": task, "event_type": "training_stats_scalar", "batch_size": 5000, "order": "asc"}
    found, answer = [], client.call("events.get_task_events", **asked)
    while answer["events"]:
        found += [event["value"] for event in answer["events"]]
        answer = client.call("events.get_task_events", **asked, scroll_id=answer["scroll_id"])
    if found != list(range(count)):
        raise SystemExit(f"task {task}: {len(found)} of {count} scalars, or out of order")


if __name__ == "__main__":
    main()
