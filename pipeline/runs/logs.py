"""Console of a step, read in pages and followed while the step runs."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from pipeline.clearml_tasks import TaskUnavailable
from pipeline.connection import Api
from pipeline.runs.state import FINAL, LOOK_SECONDS, RunState, Step, read_run
from pipeline.workers import executing_tasks

PAGE = 500
"""Lines per call."""

OVERLAP = 30_000
"""Milliseconds that each poll reads again: a worker and its step send their lines side by side."""

LAST_LINES_SECONDS = 20
"""Time for the agent to send its own last lines after the step has ended."""

PULLED = re.compile(r"task \w+ pulled from \w+ by worker ")
"""The agent's first line of a task, with the id in full."""

STARTED = "Starting Task Execution:"
"""The agent's last line before those of the step."""

NOISE = re.compile(
    r"^[-\d]{10} [\d:,]{12} - clearml\.|^ClearML (Monitor|results page|pipeline page|dataset page)\b"
)
"""Lines that ClearML's SDK prints in the name of a step."""

Line = tuple[int, str, str]
"""Timestamp in milliseconds, worker, text."""


def require_step(api: Api, run_id: str, name: str) -> Step:
    """Return the step `name` of a run, the controller included; `pending` if the DAG is not planned yet.

    Raises:
        TaskUnavailable: the run has no such step, or does not exist.
    """
    return _require_step(read_run(api, run_id), name)


def lines(api: Api, run_id: str, name: str, follow: bool) -> Iterator[str]:
    """Yield each text that the step printed, in the order of time; with `follow` until the step has ended.

    A line that reaches the server more than OVERLAP after a later one comes last.
    """
    console = Console(api)
    while follow:
        state = read_run(api, run_id)
        step = _require_step(state, name)
        if state.over or step.status in FINAL:
            break
        yield from console.new(step.task_id)
        time.sleep(LOOK_SECONDS)
    task_id = require_step(api, run_id, name).task_id
    deadline = time.monotonic() + LAST_LINES_SECONDS
    while follow and task_id in executing_tasks(api) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    yield from console.rest(task_id)


def own_lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the step itself, without those of the agent before it and of ClearML's SDK.

    If the agent did not get as far as starting the step, its lines say why, and are yielded.
    """
    held: list[str] | None = None
    begun = True
    for text in texts:
        for line in text.rstrip("\n").split("\n"):
            if PULLED.match(line):
                yield from held or ()
                held, begun = [], False
            if held is not None:
                held.append(line)
                if line.startswith(STARTED):
                    held = None
            elif not NOISE.match(line) and (begun or line):
                begun = True
                yield line.rpartition("\r")[2]
    yield from held or ()


def _require_step(state: RunState, name: str) -> Step:
    step = state.step(name)
    if step is not None:
        return step
    if state.steps or state.over:
        known = ", ".join(["controller", *(step.name for step in state.steps)])
        raise TaskUnavailable(f"run {state.id} has no step {name!r}; its steps are: {known}")
    return Step(name, "pending")


class Console:
    """Reader of a task's console that yields each line once."""

    def __init__(self, api: Api) -> None:
        """Start before the first line."""
        self._api = api
        self._last = -1
        self._yielded: Counter[Line] = Counter()

    def new(self, task_id: str) -> Iterator[str]:
        """Yield the lines since the last call that are at most OVERLAP older than the newest one read."""
        yield from self._unread(task_id, max(-1, self._last - OVERLAP))

    def rest(self, task_id: str) -> Iterator[str]:
        """Yield every line that has not been yielded, however late it reached the server."""
        yield from self._unread(task_id, -1)

    def _unread(self, task_id: str, after: int) -> Iterator[str]:
        if not task_id:
            return
        count: Counter[Line] = Counter()
        for line in self._read(task_id, after):
            count[line] += 1
            self._last = max(self._last, line[0])
            # A task may print the same line twice in one moment.
            if count[line] > self._yielded[line]:
                self._yielded[line] += 1
                yield line[2]

    def _read(self, task_id: str, after: int) -> Iterator[Line]:
        """Yield all lines later than `after`, without duplicates or gaps at the ends of pages.

        A page begins after a timestamp, so the last moment of a full page is left to the next page.
        """
        size = PAGE
        while True:
            page = self._page(task_id, after, size)
            if len(page) < size:
                yield from page
                return
            whole = [line for line in page if line[0] < page[-1][0]]
            yield from whole
            # One moment may fill a page by itself.
            after, size = (whole[-1][0], PAGE) if whole else (after, 2 * size)

    def _page(self, task_id: str, after: int, size: int) -> list[Line]:
        start = {"from_timestamp": after} if after >= 0 else {}
        events = self._api.call(
            "events.get_task_log", task=task_id, navigate_earlier=False, batch_size=size, **start
        )["events"]
        return [(int(event["timestamp"]), event.get("worker") or "", event["msg"]) for event in events]
