"""Status of a step: one rule in the terminal and on the page; runs whose names are patterns are found."""

from itertools import product

import pytest
from clearml.backend_api.services import tasks as clearml_tasks

from pipeline.clearml_tasks import TaskRecord
from pipeline.runs.state import FINAL, STATUSES, Step, step_status
from server.web.runs import nodes

CLEARML = [status.value for status in clearml_tasks.TaskStatusEnum]
DAY = {"id": "t", "status": "completed", "started": "2026-01-01", "completed": "2026-01-02"}
UNKNOWN = "invented_by_a_newer_server"
STEP_STATUSES = {*STATUSES.values(), "cached", "skipped"}


def test_clearmls_statuses_are_the_expected_ones():
    assert set(CLEARML) - set(STATUSES) == {"unknown"}


def test_terminal_and_page_agree_on_the_status_of_a_step():
    statuses = [*CLEARML, UNKNOWN]
    nodes_of_a_plan = {}, {"skip_job": True}, {"skip_job": False}
    for run_status, task_status, parent, node in product(
        statuses, [*statuses, None], ["run", "other run", ""], nodes_of_a_plan
    ):
        run = {"id": "run", "status": run_status}
        task = {"id": "task", "status": task_status, "parent": parent} if task_status else None
        status = step_status(TaskRecord.of(run), node, TaskRecord.of(task) if task else None)
        assert status in STEP_STATUSES
        assert status == nodes.step_state(node, task, run), (run_status, task_status, parent, node)


@pytest.mark.parametrize(
    ("run_status", "task_status", "expected"),
    [
        ("in_progress", None, "pending"),
        ("stopped", None, "skipped"),
        ("stopped", "created", "skipped"),
        ("stopped", "queued", "queued"),
        ("in_progress", "publishing", "completed"),
        ("in_progress", "unknown", "pending"),
        ("in_progress", UNKNOWN, "pending"),
    ],
)
def test_the_status_of_a_runs_own_step(run_status, task_status, expected):
    task = TaskRecord("task", parent="run", status=task_status) if task_status else None
    assert step_status(TaskRecord("run", status=run_status), {}, task) == expected


def test_a_cached_step_takes_no_time_in_this_run():
    task = TaskRecord.of(
        {"id": "t", "status": "completed", "started": "2026-01-01", "completed": "2026-01-02"}
    )
    cached, own = Step("train_a", "cached", task=task), Step("train_a", "completed", task=task)
    assert (cached.seconds, cached.work_seconds, own.seconds) == (0.0, 86400.0, 86400.0)
    assert cached.stage == "train"
    assert {cached.status, own.status} <= set(FINAL)


PATTERN = """
from pipeline.connection import Api
from pipeline.runs.state import last_run
api = Api()
found = {}
for pipeline in ("chips (v2)", "c.ips", "chips"):
    project = api.call("projects.create", name=f"a+b/.pipelines/{pipeline}", system_tags=["hidden"])["id"]
    found[pipeline] = api.call("tasks.create", name=pipeline, type="controller", project=project)["id"]
result = [last_run(api, "a+b", pipeline) == task for pipeline, task in found.items()]
result.append(last_run(api, "a+b", "no such pipeline"))
"""


def test_pipelines_are_found_by_names_that_are_patterns(sdk):
    assert sdk(PATTERN) == [True, True, True, None]


RUN = """
import json
from pipeline.connection import Api
from pipeline.runs.follow import progress
from pipeline.runs.state import read_run
api = Api()
run = api.call("tasks.create", name="run", type="controller")["id"]

def task(name, parent, **arguments):
    items = {key: {"section": "kwargs", "name": key, "value": value} for key, value in arguments.items()}
    return api.call(
        "tasks.create", name=name, type="training", parent=parent, hyperparams={"kwargs": items}
    )["id"]

earlier = api.call("tasks.create", name="an earlier run", type="controller")["id"]
train = task("train_a", run, entry='{"name": "a"}', training='{"epochs": 4}')
plan = {
    "split": {"executed": task("split", earlier), "job_id": None, "queue": "data"},
    "train_a": {"job_id": train, "queue": "gpu"},
    "select": {"queue": "data"},
}
why = {"train_a": "first run of this step"}
items = [{"name": name, "value": json.dumps(value)} for name, value in (("Pipeline", plan), ("why", why))]
api.call("tasks.edit_configuration", task=run, configuration=items, force=True)
scalars = {"f2_at_0.2": 0.5, "lr": 0.001, "chips_per_second": 100.0, "seconds": 10.0}
events = [
    {"type": "training_stats_scalar", "task": train, "metric": name, "variant": name, "iter": 1}
    | {"value": value}
    for name, value in scalars.items()
]
text = chr(10).join(map(json.dumps, events))
assert api._session.send_request(
    "events", "add_batch", data=text, headers={"Content-Type": "application/json-lines"}
).ok
result = []
for call in (None, "tasks.started", "tasks.failed"):
    if call:
        api.call(call, task=run, force=True)
    steps = read_run(api, run).steps
    result.append([[step.name, step.status, step.why, progress(step)] for step in steps])
"""


def test_a_run_is_read_with_its_cached_and_unstarted_steps(sdk):
    before, running, failed = sdk(RUN)
    progress = "epoch 1/4  F2 0.500  lr 1e-03  100 chips/s  0:30 left"
    assert before == []
    assert running == [
        ["split", "cached", "", ""],
        ["train_a", "pending", "first run of this step", progress],
        ["select", "pending", "", ""],
    ]
    assert failed[1:] == [
        ["train_a", "skipped", "first run of this step", progress],
        ["select", "skipped", "did not start", ""],
    ]
