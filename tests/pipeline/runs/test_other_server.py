"""A server that others run: named, used and never relied upon; what it does not notice, the run notices."""

import pytest
from support.embedded import wait_for
from support.other_server import other_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(trained):
    """Another server on other ports, without a watchdog, with its own agents."""
    with other_server(trained) as server:
        yield server


@pytest.fixture(scope="module")
def exports(served):
    return served.exports


def test_the_environment_names_the_server(checkout, exports):
    printed = checkout("run", "--from", "select", environment=exports)
    assert checkout.report()["server"] == exports["CLEARML_API_HOST"]
    assert checkout.states()["select"] == "completed"
    assert "(the environment)" in printed
    assert not checkout.stack.exists()


def test_env_local_names_the_server_and_the_same_run_is_cached_there(checkout, exports):
    lines = [f"{name}={value}\n" for name, value in exports.items()]
    (checkout.folder / ".env.local").write_text("".join(lines))
    printed = checkout("run")
    assert "(.env.local)" in printed
    assert set(checkout.states().values()) == {"cached"}
    assert not checkout.stack.exists()


def test_up_starts_nothing_beside_a_named_server(checkout):
    assert "nothing is started here" in checkout("up", code=1)


def test_wrong_keys_are_reported_as_wrong_keys(checkout, exports):
    wrong = exports | {"CLEARML_API_SECRET_KEY": "wrong"}
    printed = checkout("run", environment=wrong, code=1)
    assert "error:" in printed
    assert "refuses the login" in printed


def test_an_unreachable_server_is_reported_at_once(checkout, exports):
    printed = checkout("run", environment=exports | {"CLEARML_API_HOST": "http://127.0.0.1:9"}, code=1)
    assert "error: no ClearML server answers at http://127.0.0.1:9" in printed


def test_a_killed_controller_is_resumed_at_once_and_a_killed_worker_is_replaced(checkout, served, exports):
    """Whole agents are killed, so nobody reports an end, and this server does not notice."""
    words = ("run", "--models", "0", "--epochs", "150", "--seed", "9", "--set", "stack.worker_timeout=40")
    run = checkout.start(*words, environment=exports)
    until_training(run)
    run.kill()
    run.communicate(timeout=60)
    served.kill_agent("services")
    served.start_agent("services", "services")
    resumed = checkout.start("resume", environment=exports)
    said = until_training(resumed)
    assert "this run is in_progress, but no live worker executes it: resuming it" in said
    worker = wait_for(lambda: training_worker(served.server), "the worker of the training")
    served.kill_agent(worker.partition(":")[2])
    printed, _ = resumed.communicate(timeout=900)
    assert resumed.returncode == 0, printed
    train = next(step for step in checkout.report()["steps"] if step["name"].startswith("train_"))
    assert f"worker {worker} was lost, another took over" in train["why"]
    assert train["worker"] != worker


def training_worker(server):
    """Return the worker of the training that was created last."""
    conditions = {
        "name": "^train_",
        "status": ["in_progress"],
        "order_by": ["-created"],
        "search_hidden": True,
    }
    trainings = server.call("tasks.get_all", **conditions).data["tasks"]
    return trainings[0].get("last_worker") if trainings else None


def until_training(run):
    """Return what a run printed, up to the line that says where its training runs."""
    said = ""
    for line in run.stdout:
        said += line
        if line.startswith("train_") and " running " in line:
            return said
    raise AssertionError(said)
