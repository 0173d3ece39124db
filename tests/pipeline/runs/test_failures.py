"""Failures are reported, judged and cleaned up: no worker, failing steps, Ctrl-C, two runs at once."""

import signal

import psutil
import pytest
import yaml

pytestmark = pytest.mark.slow

NO_WEIGHTS = {"pretrained": True, "weights": "/nowhere/weights.safetensors"}


@pytest.fixture(scope="module")
def checkout(trained):
    return trained


@pytest.fixture
def entries(checkout):
    """The model entries, to be changed by `entries.save()`; they are as they were after the test."""
    before = checkout.entries.read_text()

    class Entries(list):
        def save(self):
            checkout.entries.write_text(yaml.safe_dump(list(self)))

    yield Entries(yaml.safe_load(before))
    checkout.entries.write_text(before)


def test_a_run_is_refused_while_a_queue_has_no_worker(new_checkout):
    fresh = new_checkout()
    sets = ["stack.workers.cpu=0"]
    printed = fresh("run", sets=sets, code=1)
    assert "no live worker serves the queue cpu" in printed
    assert not (fresh.output / "run.json").exists()
    doctor = fresh("doctor", sets=sets, code=1)
    fresh("down")
    assert "FAIL queue cpu" in doctor
    assert "make worker QUEUE=cpu" in doctor


def test_doctor_finds_nothing_amiss_once_the_workers_are_up(checkout):
    checkout("up")
    printed = checkout("doctor")
    assert "FAIL" not in printed
    for said in ("ok   python", "ok   disk", "ok   server", "ok   queue cpu", "ok   step train"):
        assert said in printed


def test_one_failing_model_fails_the_run_but_not_the_others(checkout, entries):
    entries[0] |= NO_WEIGHTS
    entries.save()
    printed = checkout("run", code=1)
    bad, good = entries[0]["name"], entries[1]["name"]
    states = checkout.states()
    assert {states[f"train_{bad}"], states[f"evaluate_{bad}"]} == {"failed"}
    assert states[f"train_{good}"] == states[f"evaluate_{good}"] == "cached"
    assert states["select"] == "completed"
    assert states["ensemble"] == "completed", "of one model there is none, and that is no failure"
    report = checkout.report()
    assert report["status"] == "failed"
    assert report["best"]["name"] == good
    assert [score["name"] for score in report["models"]] == [good]
    failed = next(step for step in report["steps"] if step["name"] == f"train_{bad}")
    why = "WeightsError: weights: this machine ("
    assert f"train_{bad} failed: {why}" in printed
    assert report["failures"][0]["name"] == f"train_{bad}"
    assert report["failures"][0]["reason"].startswith(why)
    assert "/nowhere/weights.safetensors" in printed
    assert f"/experiments/{failed['task_id']}/output/log" in printed
    assert (checkout.output / "best" / "bundle.json").is_file()


RETRY = """
import json, sys
from pipeline.connection import Api
from pipeline.runs.state import states
api = Api()
run = sys.argv[1]
before = {step.name: step.task_id for step in next(states(api, run)).steps}
queue = api.call("queues.get_all", name="^services$")["queues"][0]["id"]
api.call("tasks.enqueue", task=run, queue=queue)
*_, state = states(api, run)
print(json.dumps({step.name: [step.status, step.task_id == before[step.name]] for step in state.steps}))
"""


def test_retry_of_a_failed_run_runs_only_what_failed(checkout, entries):
    """The call of the page's Retry and of the web UI's Continue: the same run is enqueued again."""
    steps = checkout.python(RETRY, checkout.report()["pipeline_id"])
    bad, good = (f"train_{entry['name']}" for entry in entries[:2])
    fixed = ["ingest", "register", "split", good, good.replace("train", "evaluate")]
    assert {name: steps[name] for name in fixed} == {name: ["cached", True] for name in fixed}
    assert steps[bad] == ["failed", False]


def test_when_every_training_fails_the_earlier_best_stays(checkout, entries):
    before = (checkout.output / "best" / "bundle.json").read_bytes()
    for entry in entries:
        entry |= NO_WEIGHTS
    entries.save()
    printed = checkout("run", code=1)
    assert checkout.states()["select"] == "failed"
    assert checkout.report()["best"] is None
    assert (checkout.output / "best" / "bundle.json").read_bytes() == before
    assert "this run selected no model" in printed
    assert "still that of an earlier run" in printed


def test_ctrl_c_stops_the_steps_and_leaves_no_process(checkout):
    run = checkout.start("run", "--epochs", "500", "--image-size", "64")
    line = next(line for line in run.stdout if line.startswith("train_") and " running " in line)
    run.send_signal(signal.SIGINT)
    printed, _ = run.communicate(timeout=900)
    assert run.returncode == 130, line + printed
    report = checkout.report()
    assert report["status"] == "failed"
    states = checkout.states()
    assert states[line.split()[0]] == "aborted"
    assert not {"running", "queued"} & set(states.values())
    assert not tasks_at_work({report["pipeline_id"], *(step["task_id"] for step in report["steps"])})


ABORT = """
import json, sys, time
from pipeline.connection import Api
from pipeline.runs.state import last_run, read_run
api = Api()
run = last_run(api, "planets", "chips")
api.call("tasks.stop_many", ids=[run])
deadline = time.monotonic() + 900
while time.monotonic() < deadline:
    state = read_run(api, run)
    if state.over and not {"running", "queued"} & {step.status for step in state.steps}:
        break
    time.sleep(1)
print(json.dumps({"id": run, "status": state.status, "steps": {s.name: s.status for s in state.steps}}))
"""


def test_abort_from_the_web_ui_takes_the_steps_with_it(checkout):
    """The call of the web UI's Abort, for the controller alone."""
    run = checkout.start("run", "--epochs", "501", "--image-size", "64")
    line = next(line for line in run.stdout if line.startswith("train_") and " running " in line)
    aborted = checkout.python(ABORT)
    printed, _ = run.communicate(timeout=900)
    assert run.returncode == 1, printed
    assert aborted["status"] == "stopped"
    assert aborted["steps"][line.split()[0]] == "aborted"
    assert not {"running", "queued"} & set(aborted["steps"].values())
    ids = {aborted["id"], *(step["task_id"] for step in checkout.report()["steps"])}
    # Agents look every second or so whether their task was stopped: its state comes before its end.
    _, left = psutil.wait_procs(tasks_at_work(ids), timeout=60)
    assert not left


def tasks_at_work(ids):
    """The processes that run one of these tasks."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CLEARML_TASK_ID") in ids and "clearml_agent" not in " ".join(
                process.cmdline()
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_two_runs_at_once_both_end_right(checkout):
    two = ["stack.workers.services=2"]
    runs = [checkout.start("run", "--models", "0", "--seed", str(seed), sets=two) for seed in (1, 2)]
    for run in runs:
        printed, _ = run.communicate(timeout=1800)
        assert run.returncode == 0, printed
    assert checkout.report()["status"] == "completed"


def test_down_leaves_no_process_and_no_address(checkout):
    checkout("up")
    stack = str(checkout.stack)
    assert processes_of(stack)
    checkout("down")
    assert not processes_of(stack)
    assert "nothing ran" in checkout("down")
    assert "error: the embedded server does not run" in checkout("env", code=1)


def processes_of(stack):
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("CLEARML_CONFIG_FILE", "")]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(word.startswith(stack) for word in words):
            found.append(process)
    return found


def test_after_a_power_cut_up_restarts_on_the_same_data(checkout):
    """Every process is killed and every file stays: pids, lock, addresses and what agents leave are stale."""
    checkout("up")
    make = "import json; from clearml import Task; print(json.dumps(Task.create('cut', 'before').id))"
    find = "import json, sys; from clearml import Task; print(json.dumps(Task.get_task(sys.argv[1]).name))"
    task = checkout.python(make)
    for process in processes_of(str(checkout.stack)):
        process.kill()
    assert "does not run" in checkout("status", code=1)
    checkout("up")
    assert checkout.python(find, task) == "before"
