"""The unmodified agent and PipelineController against the embedded server."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.embedded import Embedded, agent, fetch, running, wait_for
from support.processes import alive

pytestmark = pytest.mark.slow

PIPELINE = """
import sys
from clearml import PipelineController


def make_rows(n):
    print("making rows")
    return int(n) * 2


def train_rows(rows):
    from clearml import Task

    logger = Task.current_task().get_logger()
    for step in range(3):
        logger.report_scalar("loss", "train", 1 / (step + 1), step)
    Task.current_task().upload_artifact("table", {"rows": rows})
    return int(rows) + 1


pipe = PipelineController(
    name="toy", project="Agents", version="1.0.0", repo="", packages=["clearml"], skip_global_imports=True,
    pool_frequency=0.01,
)
pipe.add_parameter("n", 3)
pipe.set_default_execution_queue("default")
step = dict(cache_executed_step=True, repo="", packages=["clearml"])
pipe.add_function_step(
    "rows", function=make_rows, function_kwargs={"n": "${pipeline.n}"}, function_return=["rows"], **step
)
pipe.add_function_step(
    "train", function=train_rows, function_kwargs={"rows": "${rows.parameters.return/rows}"},
    function_return=["out"], parents=["rows"], **step
)
print("run=" + pipe.task.id, flush=True)
pipe.start(queue="services")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agents")


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[Embedded]:
    """A server with two agents, one for controllers and one for steps."""
    with running(place / "data", "--worker-timeout", "20") as server, ExitStack() as agents:
        for queue in ("services", "fragile", "doomed"):
            server.call("queues.create", name=queue)
        for worker, queue in (("svc", "services"), ("w1", "default")):
            home = place / worker
            agents.enter_context(agent(server.environment(home), worker, queue, place / f"{worker}.log"))
        wait_for(lambda: len(server.call("workers.get_all").data["workers"]) == 2, "both agents")
        yield server


def script_task(server: Embedded, code: str, queue: str = "default", **fields: Any) -> str:
    """A standalone script, enqueued."""
    script = {
        "binary": "python3",
        "repository": "",
        "entry_point": "script.py",
        "working_dir": ".",
        "diff": code,
    }
    task = server.new_task(script={**script, "requirements": {"pip": ""}}, **fields)
    server.call("tasks.enqueue", task=task, queue_name=queue)
    return task


def ended(server: Embedded, task: str, patience: float = 90) -> dict[str, Any]:
    def end() -> dict[str, Any] | None:
        found = server.task(task)
        return found if found["status"] in ("completed", "failed", "stopped") else None

    return wait_for(end, f"the end of task {task}", patience)


def log_of(server: Embedded, task: str) -> str:
    events = server.call("events.get_task_events", task=task, event_type="log", batch_size=1000).data[
        "events"
    ]
    return "".join(event["msg"] for event in events)


def test_an_agent_runs_a_task_from_its_queue(stack: Embedded) -> None:
    done = ended(stack, script_task(stack, "print('hello from the agent')"))
    assert (done["status"], done["status_reason"]) == ("completed", "worker execution done")
    assert done["last_worker"] == "w1"
    assert "hello from the agent" in log_of(stack, done["id"])


def test_a_script_that_fails_is_a_failed_task(stack: Embedded) -> None:
    done = ended(stack, script_task(stack, "raise RuntimeError('boom')"))
    assert done["status"] == "failed"
    assert "boom" in log_of(stack, done["id"])


def test_stop_ends_the_process_of_the_task(stack: Embedded) -> None:
    task = script_task(stack, "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)")
    line = wait_for(
        lambda: next((x for x in log_of(stack, task).splitlines() if x.startswith("pid ")), None), "a pid"
    )
    stack.call("tasks.stop", task=task, status_reason="enough")
    done = ended(stack, task)
    assert done["status"] == "stopped"
    wait_for(lambda: not alive(int(line.split()[1])), "the end of the process")


def start_pipeline(server: Embedded, place: Path, code: str = PIPELINE) -> str:
    """Run the script as a user does; returns the id of the run that it enqueued."""
    script = place / "toy_pipeline.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        env=server.environment(place / "user"),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "run=" in done.stdout, done.stdout + done.stderr
    return done.stdout.partition("run=")[2].split()[0]


def steps_of(server: Embedded, run: str) -> dict[str, Any]:
    import json

    steps: dict[str, Any] = json.loads(server.task(run)["configuration"]["Pipeline"]["value"])
    return steps


def test_a_pipeline_its_cached_rerun_and_a_new_run(stack: Embedded, place: Path) -> None:
    first = ended(stack, start_pipeline(stack, place), 150)
    assert first["status"] == "completed"
    steps = steps_of(stack, first["id"])
    assert {name: step["status"] for name, step in steps.items()} == {
        "rows": "completed",
        "train": "completed",
    }
    trained = stack.task(steps["train"]["executed"])
    assert trained["hyperparams"]["return"]["out"]["value"] == "7"
    assert trained["parent"] == first["id"]
    assert [artifact["key"] for artifact in trained["execution"]["artifacts"]] == ["table"]

    again = ended(stack, start_pipeline(stack, place), 150)
    assert {name: step["status"] for name, step in steps_of(stack, again["id"]).items()} == {
        "rows": "cached",
        "train": "cached",
    }
    assert steps_of(stack, again["id"])["train"]["executed"] == trained["id"]

    queue = stack.call("queues.get_all", name="^services$").data["queues"][0]["id"]
    args = [{"name": "n", "value": "5"}]
    started = stack.call(
        "pipelines.start_pipeline", task=again["id"], queue=queue, args=args, verify_watched_queue=True
    )
    assert started.data["queue_watched"] is True
    changed = ended(stack, started.data["pipeline"], 150)
    steps = steps_of(stack, changed["id"])
    assert {name: step["status"] for name, step in steps.items()} == {
        "rows": "completed",
        "train": "completed",
    }
    assert stack.task(steps["train"]["executed"])["hyperparams"]["return"]["out"]["value"] == "11"


def test_a_killed_agent_fails_its_task_and_another_takes_it_up(stack: Embedded, place: Path) -> None:
    code = (
        "import os, time\nfrom clearml import Task\ntask = Task.init()\n"
        "first = 'mark' not in task.artifacts\n"
        "if first:\n"
        "    task.upload_artifact('mark', {'x': 1}, wait_on_upload=True)\n"
        "    print('pid', os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "print('resumed with', task.artifacts['mark'].get())\n"
    )
    with agent(stack.environment(place / "doomed"), "doomed", "fragile", place / "doomed.log") as process:
        task = script_task(stack, code, "fragile")
        wait_for(lambda: stack.task(task)["execution"]["artifacts"], "the artifact")
        for victim in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            os.kill(victim.pid, signal.SIGKILL)
    lost = ended(stack, task, 60)
    assert lost["status"] == "failed"
    assert lost["status_reason"].startswith("worker lost: doomed")
    stack.call("tasks.enqueue", task=task, queue_name="default")
    assert stack.call("tasks.get_by_id", task=task).data["task"]["status"] in ("queued", "in_progress")
    done = ended(stack, task)
    assert (done["status"], done["last_worker"]) == ("completed", "w1")
    assert "resumed with {'x': 1}" in log_of(stack, task)


RETRYING = """
from clearml import PipelineController


def fragile_step(n):
    import os, signal, psutil
    from clearml import Task

    task = Task.current_task()
    if "mark" in task.artifacts:
        return int(n) + task.artifacts["mark"].get()["x"]
    task.upload_artifact("mark", {"x": 40}, wait_on_upload=True)
    for process in [*psutil.Process().parents(), psutil.Process()]:
        if "clearml_agent" in " ".join(process.cmdline()) or process.pid == os.getpid():
            os.kill(process.pid, signal.SIGKILL)


pipe = PipelineController(
    name="retrying", project="Agents", version="1.0.0", repo="", packages=["clearml"],
    skip_global_imports=True, pool_frequency=0.01,
)
pipe.add_function_step(
    "fragile", function=fragile_step, function_kwargs={"n": 2}, function_return=["out"], repo="",
    packages=["clearml"], execution_queue="doomed", retry_on_failure=2,
)
print("run=" + pipe.task.id, flush=True)
pipe.start(queue="services")
"""


def test_a_pipeline_survives_the_loss_of_a_worker(stack: Embedded, place: Path) -> None:
    """A step's worker dies by kill -9: its task fails, the controller retries it, another worker goes on."""
    (place / "retrying").mkdir()
    with ExitStack() as agents:
        for worker in ("first", "second"):
            environment = stack.environment(place / worker)
            agents.enter_context(agent(environment, worker, "doomed", place / f"{worker}.log"))
        run = ended(stack, start_pipeline(stack, place / "retrying", RETRYING), 150)
    assert run["status"] == "completed"
    step = steps_of(stack, run["id"])["fragile"]
    done = stack.task(step["executed"])
    assert (step["status"], done["status"]) == ("completed", "completed")
    assert done["hyperparams"]["return"]["out"]["value"] == "42"


LONG = """
from clearml import PipelineController


def count_slowly(n):
    import time
    from clearml import Task

    task = Task.current_task()
    logger = task.get_logger()
    uploaded = []
    for step in range(40):
        logger.report_scalar("count", "up", step, step)
        print(f"line {step}.")
        if step % 10 == 5 and task.upload_artifact(f"part{step}", {"step": step}, wait_on_upload=True):
            uploaded.append(step)
        time.sleep(0.1)
    return " ".join(str(step) for step in uploaded)


pipe = PipelineController(
    name="long", project="Agents", version="1.0.0", repo="", packages=["clearml"], skip_global_imports=True,
    pool_frequency=0.01,
)
for name, parent in (("first", []), ("second", ["first"])):
    pipe.add_function_step(
        name, function=count_slowly, function_kwargs={"n": len(parent)}, function_return=["uploaded"],
        parents=parent, repo="", packages=["clearml"], execution_queue="default",
    )
print("run=" + pipe.task.id, flush=True)
pipe.start(queue="services")
"""


def test_a_pipeline_survives_kill_9_of_the_server(stack: Embedded, place: Path) -> None:
    """In the middle of both steps; restarted on the same ports. Whatever the steps reported is there."""
    (place / "long").mkdir()
    run = start_pipeline(stack, place / "long", LONG)
    for name in ("first", "second"):
        step = wait_for(lambda name=name: steps_of(stack, run)[name].get("executed"), f"step {name}")
        wait_for(lambda step=step: stack.task(step)["last_iteration"] >= 3, f"reports of step {name}")
        assert stack.stop(signal.SIGKILL) == -signal.SIGKILL
        time.sleep(0.5)
        stack.start()
    assert ended(stack, run, 120)["status"] == "completed"
    for step in steps_of(stack, run).values():
        task = step["executed"]
        curve = stack.call("events.scalar_metrics_iter_histogram", task=task).data["count"]["up"]
        assert curve["x"] == curve["y"] == list(range(40))
        text = log_of(stack, task)
        assert [n for n in range(40) if f"line {n}." not in text] == []
        done = stack.task(task)
        uploaded = done["hyperparams"]["return"]["uploaded"]["value"].split()
        assert uploaded == ["5", "15", "25", "35"]
        for artifact in done["execution"]["artifacts"]:
            assert fetch(artifact["uri"], headers=stack.bearer).status == 200
        assert len(done["execution"]["artifacts"]) == 4
    assert "Traceback" not in stack.log.read_text()


def test_no_secret_is_left_anywhere(stack: Embedded, place: Path) -> None:
    """After all these runs: in the database, the uploaded files, the logs, the workers' homes.

    The access key is a name and no secret, but the agent prints it with its settings into every task's log:
    there it is masked. (The agent's own log is not ours.)
    """
    own = [stack.data / name for name in ("credentials.json", "signing.key", "clearml.conf")]
    assert {file.stat().st_mode & 0o777 for file in own} == {0o600}
    secrets = [stack.secret_key, (stack.data / "signing.key").read_text().strip()]
    token = stack.token.split(".")[0] + "."
    searched = 0
    for file in place.rglob("*"):
        if not file.is_file() or file in own:
            continue
        content = file.read_bytes()
        searched += 1
        assert not [secret for secret in secrets if secret.encode() in content], file
        assert stack.data not in file.parents or stack.access_key.encode() not in content, file
        assert not re.search(re.escape(token).encode() + rb"[\w-]{20,}\.[\w-]{20,}", content), file
    assert searched > 10
    masked = log_of(stack, ended(stack, script_task(stack, "pass"))["id"])
    assert "access_key = ********" in masked
