"""A sweep on a real server; a thread stands in for the agents and gives each trial the score of its rate."""

import pytest
import yaml
from support import sdk_process

from pipeline.config.parameters import Run, plain_arguments, run_arguments
from pipeline.config.settings import load_config
from pipeline.tasks.sweep import Limits, Sweep
from planets.config import ConfigError
from planets.config.training import ModelEntry

CONFIG = load_config("sample")
MODEL = CONFIG.models[0].name
LIMITS = {"strategy": "random", "budget": "30", "trials": "64"}


def sweep_of(**edited):
    return Sweep.parse(CONFIG, plain_arguments(CONFIG) | LIMITS | edited)


def sweeps():
    """A sweep that tries all its values, and one whose trials outlast the budget."""
    from threading import Event, Thread

    from clearml import Task

    from pipeline.connection import Api
    from pipeline.stack.queues import create_queues
    from pipeline.tasks.sweep import NoTrial, run_sweep, store_sweep

    create_queues(Api(), [CONFIG.queues.train])
    over, scored = Event(), Event()
    scored.set()
    agent = Thread(target=stand_in, args=(over, scored))
    agent.start()
    try:
        arguments = plain_arguments(CONFIG, epochs="3") | LIMITS
        arguments |= {"ranges": "learning_rate=1e-4,1e-3,1e-2 mixup=0.25"}
        with sdk_process.running_task("sweep") as task:
            store_sweep(task, CONFIG, arguments)
            table, entry = run_sweep(Api(), task, Sweep.parse(CONFIG, arguments))
        found = Task.get_task(task_id=task.id)
        trials = [Task.get_task(task_id=task_id) for task_id in table["task"]]
        facts = {
            "rates": table["learning_rate"].tolist(),
            "scores": table["valid_f2"].tolist(),
            "entry": entry,
            "artifacts": sorted(found.artifacts),
            "parents": [trial.parent == task.id for trial in trials],
            "names": [trial.name for trial in trials],
            "epochs": [trial.get_parameter("Args/epochs") for trial in trials],
            "children": len(Task.query_tasks(task_filter={"project": [found.project]})),
        }
        scored.clear()
        short = arguments | {"ranges": "learning_rate=1e-4..1e-2", "budget": "0.1"}
        try:
            with sdk_process.running_task("short sweep") as task:
                run_sweep(Api(), task, Sweep.parse(CONFIG, short))
        except NoTrial as error:
            facts["nothing"] = str(error)
        left = Task.get_tasks(task_filter={"parent": task.id})
        return facts | {"left": [str(trial.status) for trial in left]}
    finally:
        over.set()
        agent.join()


def stand_in(over, scored):
    """Take tasks from the queue as an agent does; complete them if `scored` is set, else let them run."""
    import json

    from pipeline.connection import Api

    api = Api()
    queue = api.call("queues.get_all", name=f"^{CONFIG.queues.train}$")["queues"][0]["id"]
    while not over.wait(0.2):
        entry = api.call("queues.get_next_task", queue=queue).get("entry")
        if not entry:
            continue
        task_id = entry["task"]
        api.call("tasks.started", task=task_id)
        if not scored.is_set():
            continue
        arguments = api.call("tasks.get_by_id", task=task_id)["task"]["hyperparams"]["Args"]
        score = {"1e-04": 0.5, "1e-03": 0.7, "1e-02": 0.6}[
            f"{float(arguments['learning_rate']['value']):.0e}"
        ]
        event = {"type": "training_stats_scalar", "task": task_id, "metric": "Summary", "iter": -(2**31)}
        text = json.dumps(event | {"variant": "valid_f2", "value": score})
        headers = {"Content-Type": "application/json-lines"}
        assert api._session.send_request("events", "add_batch", data=text, headers=headers).ok
        api.call("tasks.completed", task=task_id)


@pytest.fixture(scope="module")
def facts(server, tmp_path_factory):
    return sdk_process.call(server, tmp_path_factory.mktemp("sweep"), sweeps)


@pytest.mark.slow
def test_trials_are_plain_trainings_ranked_by_their_validation_score(facts):
    assert facts["rates"] == [1e-3, 1e-2, 1e-4]
    assert facts["scores"] == [0.7, 0.6, 0.5]
    assert facts["parents"] == [True] * 3
    assert facts["epochs"] == ["3"] * 3
    assert facts["names"][0] == f"train {MODEL} learning_rate=0.001 mixup=0.25"
    assert {"entry", "trials"} <= set(facts["artifacts"])


@pytest.mark.slow
def test_the_template_of_the_trials_is_deleted(facts):
    assert facts["children"] == 1 + 3


@pytest.mark.slow
def test_the_best_trial_is_an_entry_to_paste(facts):
    (document,) = yaml.safe_load(facts["entry"])
    entry = ModelEntry.model_validate(document)
    assert entry.name == f"{MODEL}_tuned"
    tuned = CONFIG.model_copy(update={"models": (entry,)})
    expected = CONFIG.training_of(MODEL, learning_rate=1e-3, epochs=3, mixup=0.25)
    assert Run.parse(tuned, run_arguments(tuned)).training == {entry.name: expected}


@pytest.mark.slow
def test_the_budget_stops_the_trials(facts):
    assert facts["left"]
    assert set(facts["left"]) <= {"stopped", "created"}
    assert "no trial completed within 0.1 minutes" in facts["nothing"]


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        ({"strategy": "hill"}, "sweep: strategy: Input should be 'optuna' or 'random', not 'hill'"),
        ({"budget": "0"}, "sweep: budget: Input should be greater than 0"),
        ({"trials": "some"}, "sweep: trials: Input should be a valid integer"),
        ({"model": "nope"}, "no entry nope"),
        ({"epochs": "2, 4"}, "one task trains one model"),
    ],
)
def test_a_faulty_parameter_is_refused_by_name(edited, message):
    with pytest.raises(ConfigError, match=message):
        sweep_of(ranges="mixup=0,0.2", **edited)


def test_a_sweep_is_limited():
    assert sweep_of(ranges="mixup=0,0.2").limits == Limits(strategy="random", budget=30, trials=64)
