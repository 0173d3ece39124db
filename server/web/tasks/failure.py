"""Why a task failed: the reason in a sentence, and the end of what the task itself printed.

The rules are those of ``pipeline/runs/failure.py``, which the terminal, run.json and the webhook use (a test
compares them).
"""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from server.documents import Document
from server.web.tasks import console

REPORTS = 60
LINES = 12
TRACEBACK_LINES = 60

WORKER_LOST = "worker lost"
NON_RESPONSIVE = "Forced stop (non-responsive)"
# Likely causes of an end by a signal. A shell and Docker report signal 9 as exit code 137.
SIGNALS = {
    6: "aborted by the process itself",
    7: "bus error: shared memory or disk full?",
    9: "out of memory?",
    11: "segmentation fault",
    15: "terminated by someone else",
}
EXIT_CODE = re.compile(r"exit code (-?\d{1,9})(?!\d)")
DISK_FULL = re.compile(r"No space left on device|\[Errno 28\]|disk is full")
TRACEBACK = "Traceback (most recent call last)"
# What the SDK puts before the message of an exception that ended a task.
RAISED = "Exception "
# Messages that an agent sets whatever happened.
BY_AGENT = re.compile(r"Changed by clearml-agent|(?:launch|pulled) by agent")
# An agent prints its settings and console.BEGIN before a task; it may fail between the two.
SETTINGS = "Current configuration (clearml_agent"


@dataclass(frozen=True)
class Failure:
    """Why a task failed, or was stopped, and the end of what it printed."""

    reason: str
    text: str


def failure_of(db: sqlite3.Connection, task: Document) -> Failure:
    """Return why the task failed; the text is its last traceback, or its last lines if there is none."""
    lines = own_lines("\n".join(reversed(console.last_reports(db, task["id"], REPORTS))))
    reason = failure_reason(task.get("status_reason") or "", task.get("status_message") or "", lines)
    starts = [index for index, line in enumerate(lines) if TRACEBACK in line]
    shown = lines[starts[-1] :] if starts else lines[-LINES:]
    if len(shown) > TRACEBACK_LINES:
        shown = [*shown[:2], "  …", *shown[-TRACEBACK_LINES:]]
    return Failure(reason, "\n".join(shown))


def own_lines(log: str) -> list[str]:
    """Return the lines of a log that the task itself printed in its last attempt, without blank ones."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    starts = [index for index, line in enumerate(lines) if console.BEGIN.match(line)]
    settings = any(line.startswith(SETTINGS) for line in lines)
    own = lines[starts[-1] + 1 :] if starts else [] if settings else lines
    return [line for line in own if not console.NOT_OWN.match(line)]


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
