"""The embedded server under load: polling workers, 8 tasks of the real SDK that report, the page open.

Each task reports 50 scalars a second; pollers ask their queue twice a second, as our agents do; a browser
has the page of a run with all these tasks and the curves of one of them open. Printed: the latency of the
polls, the server's CPU, what the browser asked for and what it complained of, memory, and whether every
scalar is stored, once and in its order.

    python benchmarks/load.py --seconds 60 --workers 50
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from latency import Client, show
from playwright.sync_api import Page, Request, Response, sync_playwright

TASKS, RATE = 8, 50
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

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
    parser.add_argument("--workers", type=int, default=50)
    options = parser.parse_args()
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
            load(data, Path(folder), server.pid, options.seconds, options.workers)
        finally:
            server.terminate()
            server.wait()


def load(data: Path, home: Path, pid: int, seconds: int, workers: int) -> None:
    """Run reporters, pollers and a reader together, then look at what was stored."""
    address = json.loads((data / "server.json").read_text())
    keys = json.loads((data / "credentials.json").read_text())
    client = Client(address, keys)
    reporters = [reporter(address, keys, home, f"task-{number}", seconds) for number in range(TASKS)]
    stop, times, peak = threading.Event(), [], 0
    queue = client.call("queues.get_default")["id"]
    threads = [threading.Thread(target=poll, args=(client, queue, stop, times)) for _ in range(workers)]
    browser = Watcher(data, client)
    threads.append(threading.Thread(target=browser.watch, args=(stop,)))
    began, used = time.monotonic(), cpu_seconds(pid)
    for thread in threads:
        thread.start()
    while any(process.poll() is None for process in reporters):
        peak = max(peak, psutil.Process(pid).memory_info().rss)
        time.sleep(0.5)
    lasted, used = time.monotonic() - began, cpu_seconds(pid) - used
    stop.set()
    for thread in threads:
        thread.join()
    outputs = [process.communicate() for process in reporters]
    show("polls", len(times), "calls, all answered with 200")
    show("median of a call", statistics.median(times), "ms")
    show("99th percentile", statistics.quantiles(times, n=100)[98], "ms")
    show("polls a second", len(times) / lasted, "")
    show("CPU of the server", used / lasted, "of a core")
    show("memory, at most", peak / 1e6, "MB")
    browser.tell()
    show("client retries", sum(text.count("Retry") for _, text in outputs), "")
    for output, _ in outputs:
        check(client, output.strip().splitlines()[-1], seconds * RATE)
    show("scalars stored, in order", TASKS * seconds * RATE, "of as many")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; other work on the machine does not change it."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


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


class Watcher:
    """A browser with two pages open, which look for news by themselves."""

    def __init__(self, data: Path, client: Client) -> None:
        self._data = data
        self._client = client
        self._times: list[float] = []
        self._complaints: list[str] = []

    def watch(self, stop: threading.Event) -> None:
        """Wait for the tasks, log in by a one-time link, and keep the pages open until the end."""
        tasks = self._tasks(stop)
        command = [sys.executable, "-m", "server", "link", "--data", str(self._data)]
        link = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = browser.new_context(base_url=link.partition("/login")[0])
            run, curves = context.new_page(), context.new_page()
            run.goto(link, wait_until="networkidle")
            for page, path in (
                (run, f"/pipelines/*/experiments/{self._run(tasks)}"),
                (curves, f"/projects/*/experiments/{tasks[0]}/info-output/metrics/scalar"),
            ):
                self._listen(page)
                page.goto(path)
            while not stop.is_set():
                run.wait_for_timeout(500)
            browser.close()

    def tell(self) -> None:
        """What the pages asked for; raises SystemExit if anything went wrong with it."""
        show("answers to the open pages", len(self._times), "")
        show("median of them", statistics.median(self._times), "ms")
        show("slowest of them", max(self._times), "ms")
        if self._complaints:
            raise SystemExit(f"the browser complained: {self._complaints[:3]}")

    def _tasks(self, stop: threading.Event) -> list[str]:
        found: list[str] = []
        while len(found) < TASKS and not stop.wait(0.2):
            answer = self._client.call("tasks.get_all", name="^task-", order_by=["name"], only_fields=["id"])
            found = [task["id"] for task in answer["tasks"]]
        return found

    def _run(self, tasks: list[str]) -> str:
        """A pipeline run of which the tasks are the steps."""
        nodes = {f"step_{number}": {"parents": [], "job_id": task} for number, task in enumerate(tasks)}
        plan = {"Pipeline": {"name": "Pipeline", "value": json.dumps(nodes)}}
        run = self._client.call("tasks.create", name="run", type="controller", configuration=plan)["id"]
        self._client.call("tasks.started", task=run)
        return str(run)

    def _listen(self, page: Page) -> None:
        answered: set[Request] = set()

        def note(response: Response) -> None:
            answered.add(response.request)
            if response.status not in (200, 304):
                self._complaints.append(f"{response.status} {response.url}")

        def failed(request: Request) -> None:
            # Chromium counts an answer 304 to a request with If-None-Match as aborted.
            if request not in answered:
                self._complaints.append(f"{request.failure}: {request.url}")

        page.on("response", note)
        page.on("requestfinished", lambda request: self._times.append(request.timing["responseEnd"]))
        page.on("requestfailed", failed)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))


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
