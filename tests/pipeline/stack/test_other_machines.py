"""Workers on machines of their own: two network namespaces and a server in a third, no folder shared."""

import subprocess
import time
from contextlib import contextmanager

import psutil
import pytest
from support import machines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(machines.missing()), reason=machines.missing()),
]

PATIENCE = 900
NOBODY_HERE = ["stack.workers.cpu=0", "stack.workers.services=0"]
UNNOTICED = "stack.worker_timeout=86400"
"""Neither the server nor a controller notices a lost worker by itself: the worker signs off."""


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@contextmanager
def worker(machine, exports, queue):
    """`python -m pipeline worker` on a machine, ready; ended by SIGTERM, as systemd and containers do it."""
    log = machine.folder / f"{queue}.printed"
    command = machine.command("worker", "--queue", queue)
    with log.open("ab") as output:
        environment = machine.environment | exports
        process = subprocess.Popen(
            command, cwd=machine.folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    ready = machine.stack / "workers" / f"{queue}.json"

    def is_ready():
        assert process.poll() is None, log.read_text()
        return ready.exists()

    try:
        wait_for(is_ready, f"the worker of {queue}")
        yield process
    finally:
        process.terminate()
        assert process.wait(300) == 0, log.read_text()
    assert not ready.exists()


def trains(process):
    """Whether a worker's agent runs the training."""
    children = psutil.Process(process.pid).children(recursive=True)
    return any("train_model" in word for child in children for word in _words(child))


def _words(process):
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture(scope="module")
def three(new_checkout):
    """The server's machine, and two for workers."""
    with machines.network(3) as places:
        made = [new_checkout() for _ in places]
        machines.settle(made, places)
        yield made
        made[0]("down")
    for checkout in made:
        checkout.inside = []


@pytest.fixture(scope="module")
def settings(three):
    """The settings of the runs, and what names the server to the workers."""
    server = three[0]
    sets = [*NOBODY_HERE, UNNOTICED, f"stack.host={machines.NETWORK}.1"]
    sets += ["queues.train=gpu", "queues.evaluate=gpu"]
    server("up", sets=sets)
    exports = server.exports()
    return [*sets, f"clearml.output_uri={exports['CLEARML_FILES_HOST']}/elsewhere"], exports


@pytest.fixture(scope="module")
def steps(three, settings):
    """A run that two machines shared; the worker that trained was ended under it, and came again."""
    server, data, gpu = three
    sets, exports = settings
    with worker(data, exports, "services"), worker(data, exports, "cpu"):
        with worker(gpu, exports, "gpu") as first:
            run = server.start("run", "--models", "test_resnet", sets=sets)
            wait_for(lambda: run.poll() is not None or trains(first), "the training")
        with worker(gpu, exports, "gpu"):
            printed, _ = run.communicate(timeout=900)
            assert run.returncode == 0, printed
            report = server.report()
            with (gpu.folder / "planets" / "training" / "model.py").open("a") as file:
                file.write("\n# other code\n")
            again = server(
                "run", "--models", "test_resnet", "--refresh", "train_test_resnet", sets=sets, code=1
            )
    return {"printed": printed, "again": again, "report": report}


def test_the_run_completes(three, steps):
    assert "bundle in" in steps["printed"]
    assert (three[0].output / "best" / "bundle.json").is_file()


def test_what_the_ended_worker_left_another_one_finished(three, steps):
    assert "was not finished: another worker takes it over" in (three[2].folder / "gpu.printed").read_text()


def test_keys_reach_no_shared_temporary_folder(three, steps, settings):
    _, exports = settings
    secret = exports["CLEARML_API_SECRET_KEY"].encode()
    files = [path for each in three for path in (each.folder / "tmpdir").rglob("*") if path.is_file()]
    assert [path for path in files if secret in path.read_bytes()] == []


def test_a_worker_with_other_code_refuses_and_says_what_to_do(steps):
    assert "this worker has other code for 'train'" in steps["again"]
    assert "git pull && make setup" in steps["again"]


WHERE = """
import json, sys
from pipeline.connection import Api
ids = sys.argv[1:]
api = Api()
tasks = api.call("tasks.get_all", id=ids, search_hidden=True)["tasks"]
models = api.call("models.get_all", task=ids)["models"]
artifacts = [each.get("uri") for task in tasks for each in task["execution"].get("artifacts", [])]
print(json.dumps({
    "workers": {task["name"]: task["last_worker"].rpartition(":")[2] for task in tasks},
    "stored": [*filter(None, artifacts), *(model["uri"] for model in models)],
}))
"""


@pytest.fixture(scope="module")
def where(three, steps):
    return three[0].python(WHERE, *(step["task_id"] for step in steps["report"]["steps"]))


def test_both_machines_had_a_part(where):
    on_gpu = {name for name, worker in where["workers"].items() if worker == "gpu-cpu0"}
    assert on_gpu == {"train_test_resnet", "evaluate_test_resnet"}
    assert {worker for name, worker in where["workers"].items() if name not in on_gpu} == {"cpu-cpu0"}


def test_all_that_was_stored_is_where_output_uri_says(where, settings):
    _, exports = settings
    place = f"{exports['CLEARML_FILES_HOST']}/elsewhere/"
    assert len(where["stored"]) >= 6
    assert [uri for uri in where["stored"] if not uri.startswith(place)] == []
