"""The console of a step, read page by page from the API, and followed while the step goes on."""

import time
from collections import Counter
from collections.abc import Iterator

from pipeline.api import Api
from pipeline.errors import Unfinished
from pipeline.runs.state import LOOK_SECONDS, STATES, RunState, Step, read_run
from pipeline.runs.stop import at_work

PAGE = 500
OVERLAP = 30_000
"""Milliseconds that are read again at each look: a worker and its step send their lines side by side."""

LAST_WORDS_SECONDS = 20
"""How long, at most, the agent may take after the end of a step to send its own last lines."""

Line = tuple[int, str, str]
"""When in milliseconds, by which worker, what."""


def require_step(api: Api, run_id: str, name: str) -> Step:
    """The step `name` of a run; the controller is one too, and so is a step that is still to be planned.

    Raises:
        Unfinished: the run has steps, and none of this name.
    """
    state = read_run(api, run_id)
    if name == "controller":
        return Step(name, STATES[state.status], task_id=run_id)
    for step in state.steps:
        if step.name == name:
            return step
    if state.steps or state.over:
        known = ", ".join(["controller", *(step.name for step in state.steps)])
        raise Unfinished(f"run {run_id} has no step {name!r}; it has: {known}")
    return Step(name, "pending")


def lines(api: Api, run_id: str, name: str, follow: bool) -> Iterator[str]:
    """Each text that the step printed, in the order of time; with `follow` until the step has ended."""
    console = Console(api)
    while follow and not _ended(api, run_id, name):
        yield from console.new(require_step(api, run_id, name).task_id)
        time.sleep(LOOK_SECONDS)
    task_id = require_step(api, run_id, name).task_id
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    while follow and task_id in at_work(api) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    yield from console.new(task_id)


def _ended(api: Api, run_id: str, name: str) -> bool:
    step = require_step(api, run_id, name)
    state: RunState = read_run(api, run_id)
    return state.over or step.status in ("completed", "cached", "failed", "aborted", "skipped")


class Console:
    """Reads the console of a task; remembers what it has handed out."""

    def __init__(self, api: Api) -> None:
        """Nothing is read yet."""
        self._api = api
        self._last = -1
        self._seen: Counter[Line] = Counter()

    def new(self, task_id: str) -> Iterator[str]:
        """What has come since the last call; nothing for a task that does not exist yet."""
        if not task_id:
            return
        start = max(-1, self._last - OVERLAP)
        there: Counter[Line] = Counter()
        for line in self._read(task_id, start):
            there[line] += 1
            if there[line] > self._seen[line]:
                yield line[2]
            self._last = max(self._last, line[0])
        self._seen = there

    def _read(self, task_id: str, after: int) -> Iterator[Line]:
        """All lines later than `after`, without doubles and gaps where a page ends amid one moment.

        Pages begin after a time. So of a full page the last moment is left out, and read with the next one.
        """
        size = PAGE
        while True:
            found = self._page(task_id, after, size)
            if len(found) < size:
                yield from found
                return
            kept = [line for line in found if line[0] < found[-1][0]]
            yield from kept
            # A moment that fills a page by itself needs a larger one.
            after, size = (kept[-1][0], PAGE) if kept else (after, 2 * size)

    def _page(self, task_id: str, after: int, size: int) -> list[Line]:
        since = {"from_timestamp": after} if after >= 0 else {}
        events = self._api.call(
            "events.get_task_log", task=task_id, navigate_earlier=False, batch_size=size, **since
        )["events"]
        return [(int(each["timestamp"]), str(each.get("worker") or ""), str(each["msg"])) for each in events]
