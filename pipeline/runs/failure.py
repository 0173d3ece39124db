"""Why a task failed: the reason in a sentence, and the last lines that the task itself printed.

`server/web/tasks/failure.py` is the page's copy, by the same rules (a test compares them).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.connection import Api
from pipeline.runs.state import Step
from pipeline.workers import NON_RESPONSIVE, WORKER_LOST

REPORTS = 60
"""Reports of a task's log that are read, the last ones; a report has one or more lines."""

LAST_LINES = 8
"""Lines of a failed step's log that are shown."""

SIGNALS = {
    6: "aborted by the process itself",
    7: "bus error: shared memory or disk full?",
    9: "out of memory?",
    11: "segmentation fault",
    15: "terminated by someone else",
}
"""Likely cause of an end by a signal. A shell and Docker report signal 9 as exit code 137."""

EXIT_CODE = re.compile(r"exit code (-?\d{1,9})(?!\d)")
DISK_FULL = re.compile(r"No space left on device|\[Errno 28\]|disk is full")
TRACEBACK = "Traceback (most recent call last)"
RAISED = "Exception "
"""What the SDK puts before the message of an exception that ended a task."""

BY_AGENT = re.compile(r"Changed by clearml-agent|(?:launch|pulled) by agent")
"""Messages that an agent sets whatever happened."""

SETTINGS = "Current configuration (clearml_agent"
BEGIN = re.compile(r"Starting Task Execution|Executing task id \[")
"""Last lines of what an agent prints before a task, the settings above all; it may fail between the two."""

NOT_OWN = re.compile(
    r"Leaving process id|DONE: Running task|Process (?:failed, exit code|completed success|aborted by user)"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - clearml[\w.]* - (?:DEBUG|INFO|WARNING)"
    r"|ClearML (?:Task|results|Monitor|new)"
)
"""Lines that the agent and the SDK write into a task's log; errors of the SDK are not among them."""


@dataclass(frozen=True)
class Failure:
    """A step that failed or was aborted: the reason, and the last lines that it printed itself."""

    step: Step
    reason: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Return the step, its status and the reason."""
        status = f"{self.step.name} {self.step.status}"
        return f"{status}: {self.reason}" if self.reason else status


def failure_of(api: Api, step: Step) -> Failure:
    """Read why a step failed or was aborted from its task and the task's log."""
    task = step.task
    if task is None:
        return Failure(step, "", ())
    log = api.call("events.get_task_log", task=task.id, batch_size=REPORTS, navigate_earlier=True)
    reports = sorted(log["events"], key=lambda report: report["timestamp"])
    lines = own_lines("\n".join(report["msg"] for report in reports))
    reason = failure_reason(task.reason, task.message, lines) if task.ended else ""
    return Failure(step, reason, tuple(lines[-LAST_LINES:]))


def own_lines(log: str) -> list[str]:
    """Return the lines of a log that the task itself printed in its last attempt, without blank ones."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    starts = [index for index, line in enumerate(lines) if BEGIN.match(line)]
    settings = any(line.startswith(SETTINGS) for line in lines)
    own = lines[starts[-1] + 1 :] if starts else [] if settings else lines
    return [line for line in own if not NOT_OWN.match(line)]


def failure_reason(status_reason: str, status_message: str, lines: Sequence[str]) -> str:
    """Return why a task failed or was stopped, in a sentence; empty if nothing tells.

    Args:
        status_reason: the reason that the server stored with the status.
        status_message: the message that it stored beside the reason.
        lines: what the task printed, as `own_lines` returns it.
    """
    for text in (status_reason, status_message):
        if text.startswith((WORKER_LOST, NON_RESPONSIVE)):
            return text
    code = EXIT_CODE.search(f"{status_reason} {status_message}")
    cause = SIGNALS.get(_signal(int(code[1]))) if code else None
    if code and cause:
        return f"exit code {code[1]} ({cause})"
    message = "" if BY_AGENT.match(status_message) else status_message
    if code:
        reason = raised(lines) or message or code[0]
    elif status_reason.startswith(RAISED):
        reason = raised(lines) or status_reason.removeprefix(RAISED)
    else:
        reason = message or status_reason or raised(lines)
    full = any(DISK_FULL.search(line) for line in (reason, *lines))
    return f"disk full: {reason}" if full else reason


def raised(lines: Sequence[str]) -> str:
    """Return the exception that the last traceback ends with, without the modules of its class."""
    starts = [index for index, line in enumerate(lines) if TRACEBACK in line]
    after = lines[starts[-1] + 1 :] if starts else []
    line = next((line for line in after if not line.startswith(" ")), "")
    name, colon, sentence = line.partition(":")
    return f"{name.rpartition('.')[2]}{colon}{sentence}"


def _signal(code: int) -> int:
    return -code if code < 0 else code - 128
