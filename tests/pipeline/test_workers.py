"""Tasks whose worker is gone are found and marked, whatever the server notices by itself."""

import time

import pytest
from support import sdk_process


@pytest.fixture
def call(server, tmp_path):
    """Calls a function of this module in a process of its own that is connected to `server`."""
    return lambda function, *arguments: sdk_process.call(server, tmp_path, function, *arguments)


def running_task(api, worker):
    """Take a task from a queue and start it, as an agent does that calls itself `worker`."""
    queue = api.call("queues.create", name=f"queue of {worker}")["id"]
    task = api.call("tasks.create", name=f"task of {worker}", type="training")["id"]
    api.call("tasks.enqueue", task=task, queue=queue)
    api.call("queues.get_next_task", queue=queue)
    api.call("tasks.started", task=task, force=True)
    api.call("workers.register", worker=worker, queues=[queue])
    report(api, worker, task)
    return task


def report(api, worker, task=None):
    body = {"task": task} if task else {}
    api.call("workers.status_report", worker=worker, timestamp=1, **body)


def read(api, *ids):
    from pipeline.clearml_tasks import fetch

    return list(fetch(api, ids).values())


def who_is_abandoned():
    from pipeline.connection import Api
    from pipeline.workers import abandoned

    api = Api()
    situations = ("executed", "gone", "idle", "busy", "waiting", "taken")
    tasks = {name: running_task(api, f"w-{name}") for name in situations}
    api.call("workers.unregister", worker="w-gone")
    report(api, "w-idle")
    report(api, "w-busy", tasks["executed"])
    queues = {queue["name"]: queue["id"] for queue in api.call("queues.get_all")["queues"]}
    for name in ("waiting", "taken"):
        api.call("tasks.enqueue", task=tasks[name], queue=queues[f"queue of w-{name}"], force=True)
        report(api, f"w-{name}")
    api.call("queues.get_next_task", queue=queues["queue of w-taken"])
    ended = api.call("tasks.create", name="ended", type="training")["id"]
    api.call("tasks.stopped", task=ended, force=True)
    names = {task_id: name for name, task_id in tasks.items()} | {ended: "ended"}
    return sorted(names[task.id] for task in abandoned(api, read(api, *names)))


def test_a_task_that_nobody_executes_and_no_queue_holds_is_abandoned(call):
    """Its worker is not listed, or is idle, or executes another task, or took it and never started it."""
    assert call(who_is_abandoned) == ["busy", "gone", "idle", "taken"]


def looks(prepare, moments):
    """What a watch with a timeout of 100 s finds at each moment after `prepare`, by name of the fixture."""
    from pipeline.connection import Api
    from pipeline.workers import Watch

    api, watch, found = Api(), Watch(Api(), 100), []
    task = running_task(api, f"w-{prepare}")
    if prepare != "executing":
        report(api, f"w-{prepare}")
    for moment in moments:
        if prepare == "sign of life" and moment == 60:
            api.call("tasks.ping", task=task)
        found.append(bool(watch.look(read(api, task), now=moment)))
    return found


@pytest.mark.parametrize(
    ("situation", "moments", "expected"),
    [
        ("silent", [0, 30, 60, 90, 99, 101], [False] * 5 + [True]),
        ("executing", [0, 30, 60, 90, 120], [False] * 5),
        ("sign of life", [0, 30, 60, 90, 120, 150, 161], [False] * 6 + [True]),
        ("outage", [0, 30, 1000, 1030, 1060, 1090, 1101], [False] * 6 + [True]),
    ],
)
def test_a_task_is_lost_after_a_time_of_silence_that_was_watched(call, situation, moments, expected):
    assert call(looks, situation, moments) == expected


def marked(message, status):
    from pipeline.connection import Api
    from pipeline.workers import mark_lost

    api = Api()
    task = running_task(api, f"w-{message}-{status}")
    if status == "queued":
        queue = api.call("queues.create", name=f"other {message}")["id"]
        api.call("tasks.enqueue", task=task, queue=queue, force=True)
    elif message:
        api.call("tasks.stop", task=task)
    mark_lost(api, read(api, task)[0], "no sign of life")
    record = read(api, task)[0]
    return [record.status, record.reason, record.message]


def test_a_lost_task_fails_with_the_reason_that_is_retried(call):
    for status in ("in_progress", "queued"):
        assert call(marked, "", status) == ["failed", *[f"worker lost: w--{status}, no sign of life"] * 2]


def test_a_lost_task_that_was_being_stopped_is_stopped(call):
    assert call(marked, "stopping", "in_progress")[0] == "stopped"


def stopped_by_a_watchdog():
    """Stop a task as ClearML's own server does after two silent hours, and look at it once."""
    from pipeline.connection import Api
    from pipeline.workers import Watch

    api = Api()
    by_watchdog, by_person = running_task(api, "w-stopped"), running_task(api, "w-aborted")
    message = "Forced stop (non-responsive)"
    api.call("tasks.stopped", task=by_watchdog, force=True, status_message=message)
    api.call("tasks.stopped", task=by_person, force=True, status_message="stopped from the page")
    Watch(api, 100).fail_lost(read(api, by_watchdog, by_person))
    return [[task.status, task.reason] for task in read(api, by_watchdog, by_person)]


def test_what_a_watchdog_stopped_as_non_responsive_is_lost(call):
    lost, aborted = call(stopped_by_a_watchdog)
    assert lost == ["failed", "worker lost: w-stopped, no sign of life for 0:01:40"]
    assert aborted[0] == "stopped"


def watched_steps():
    """A run's steps are watched in a thread while the block runs."""
    from pipeline.connection import Api
    from pipeline.dag.execution import watched

    api = Api()
    run = api.call("tasks.create", name="run", type="controller")["id"]
    step = running_task(api, "w-step")
    api.call("tasks.edit", task=step, parent=run, force=True)
    clone = running_task(api, "w-clone")
    api.call("tasks.edit", task=clone, parent=run, type="controller", force=True)
    for worker in ("w-step", "w-clone"):
        api.call("workers.unregister", worker=worker)
    with watched(run, 1.0):
        deadline = time.monotonic() + 120
        while read(api, step)[0].status == "in_progress" and time.monotonic() < deadline:
            time.sleep(0.1)
    return [[task.status, task.reason] for task in read(api, step, clone)]


def test_a_controller_fails_the_steps_whose_worker_is_lost_and_no_clone_of_its_run(call):
    step, clone = call(watched_steps)
    assert step == ["failed", "worker lost: w-step, no sign of life for 0:00:01"]
    assert clone[0] == "in_progress"


def followed_run():
    """Follow a run whose controller is lost; return the exit code, what was printed, and the failures."""
    import io
    import json
    from pathlib import Path

    from rich.console import Console

    from pipeline.connection import Api
    from pipeline.runs.follow import follow

    api, printed = Api(), io.StringIO()
    run = running_task(api, "w-controller")
    api.call("tasks.edit", task=run, type="controller", force=True)
    api.call("workers.unregister", worker="w-controller")
    code = follow(api, run, Console(file=printed, width=200), Path("output"), 1.0)
    report = json.loads(Path("output/run.json").read_text())
    return {"run": run, "code": code, "printed": printed.getvalue(), "failures": report["failures"]}


def test_the_terminal_ends_a_run_whose_controller_is_lost_and_says_how_to_continue(call):
    followed = call(followed_run)
    reason = "worker lost: w-controller, no sign of life for 0:00:01"
    assert followed["code"] == 1
    assert f"controller failed: {reason}" in followed["printed"]
    assert f"make resume RUN={followed['run'][:8]}" in followed["printed"]
    assert [(failure["name"], failure["reason"]) for failure in followed["failures"]] == [
        ("controller", reason)
    ]
