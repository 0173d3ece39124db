"""Why a step failed: the reason first, then its own last lines; one rule in the terminal and on the page."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.failure import failure_reason, own_lines
from server.web.tasks import failure as page

BY_AGENT = "Changed by clearml-agent host:cpu-0"
HEAD = """\
task 5a pulled from 77 by worker host:cpu-0
Current configuration (clearml_agent v3.0.3, location: /tmp/x.cfg):
----------------------
agent.worker_id = host:cpu-0
sdk.development.report_use_subprocess = false

Executing task id [5a]:
repository =
entry_point = train_model.py

Starting Task Execution:

"""
PRINTED = """\
2026-11-26 21:42:40,323 - clearml.storage - WARNING - Legacy cache size configuration detected
ClearML results page: http://127.0.0.1:8008/projects/1/tasks/5a/output/log
epoch 1
2026-11-26 21:42:41,323 - clearml.storage - ERROR - Failed uploading
Traceback (most recent call last):
  File "train_model.py", line 1, in <module>
    train_model()
steps.clearml.errors.WeightsError: no weights at /nowhere/weights.safetensors
they are needed for pretrained: true
"""
TAIL = "Leaving process id 12\nProcess failed, exit code 1\n"
RAISED = own_lines(HEAD + PRINTED + TAIL)
ON_DISK = ["Traceback (most recent call last):", "  x", "OSError: [Errno 28] No space left on device: '/a'"]


@pytest.mark.parametrize(
    ("reason", "message", "lines", "expected"),
    [
        ("worker lost: w1, it was ended", "", RAISED, "worker lost: w1, it was ended"),
        ("", "Forced stop (non-responsive)", [], "Forced stop (non-responsive)"),
        ("worker execution exit code -9", BY_AGENT, ["epoch 1"], "exit code -9 (out of memory?)"),
        ("worker execution exit code 137", BY_AGENT, RAISED, "exit code 137 (out of memory?)"),
        ("worker execution exit code -11", BY_AGENT, [], "exit code -11 (segmentation fault)"),
        (
            "worker execution exit code 1",
            BY_AGENT,
            RAISED,
            "WeightsError: no weights at /nowhere/weights.safetensors",
        ),
        ("worker execution exit code 2", BY_AGENT, ["usage: x"], "exit code 2"),
        (
            "worker execution exit code 1",
            BY_AGENT,
            ON_DISK,
            "disk full: OSError: [Errno 28] No space left on device: '/a'",
        ),
        ("Exception no weights here", "", [], "no weights here"),
        ("task failed", "exit code 1", [ON_DISK[0], "OSError: no"], "OSError: no"),
        ("ConfigError", "epochs: expected a number", [], "epochs: expected a number"),
        ("steps failed", "train_a failed: exit code 2", [], "train_a failed: exit code 2"),
        ("stopped from the page", "", RAISED, "stopped from the page"),
        ("task was stopped by tasks.stop", BY_AGENT, [], "task was stopped by tasks.stop"),
        ("", "", [], ""),
    ],
)  # fmt: skip
def test_the_reason_of_a_failure(reason, message, lines, expected):
    assert failure_reason(reason, message, lines) == expected


def test_own_lines_are_those_of_the_last_attempt_without_the_agents_and_the_sdks():
    first = HEAD + "epoch 7\nNode 'train_a' failed. Retrying... (this is retry number 1)\n"
    lines = own_lines(first + HEAD + PRINTED + TAIL)
    assert lines == PRINTED.splitlines()[2:]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (HEAD.partition("Executing")[0], []),
        (HEAD.partition("Starting")[0] + "fatal: no such repository\n", "fatal: no such repository"),
        ("epoch 1\n\nepoch 2\n", "epoch 2"),
        ("", []),
    ],
)  # fmt: skip
def test_a_task_that_never_started_shows_what_stopped_it_and_no_settings(log, expected):
    lines = own_lines(log)
    assert lines == expected or lines[-1] == expected


PARTS = [HEAD, PRINTED, TAIL, "epoch 1\n", *(f"{line}\n" for line in ON_DISK)]


@given(st.lists(st.sampled_from(PARTS), max_size=6).map("".join))
def test_terminal_and_page_show_the_same_lines_and_reasons(log):
    assert page.own_lines(log) == own_lines(log)
    reasons = ("", "worker lost: w", "worker execution exit code 1", "exit code -9", "Exception disk is full")
    for reason, message in product(
        reasons, ("", BY_AGENT, "Forced stop (non-responsive)", "epochs: no number")
    ):
        lines = own_lines(log)
        assert page.failure_reason(reason, message, lines) == failure_reason(reason, message, lines)
