"""Starting a run: unknown names are refused before it exists, its steps get their types, it is resumed."""

import pytest
from support import sdk_process


@pytest.fixture
def call(server, tmp_path):
    """Calls a function of this module in a process of its own that is connected to `server`."""
    return lambda function, *arguments: sdk_process.call(server, tmp_path, function, *arguments)


def run_of(name, architecture="resnet10t", optimizer="adamw", **training):
    from pipeline.config.parameters import Run, run_arguments
    from pipeline.config.settings import load_config

    config = load_config("sample", [("training.optimizer", optimizer)])
    entry = config.models[0].model_copy(
        update={"name": name, "architecture": architecture, "pretrained": False, "training": training}
    )
    config = config.model_copy(update={"models": (entry,)})
    return Run.parse(config, run_arguments(config))


def refusals():
    from pipeline.clearml_tasks import find
    from pipeline.connection import Api
    from pipeline.dag.launch import require_trainable
    from planets.config import ConfigError

    api = Api()
    before, messages = len(list(find(api))), {}
    for case, run in {
        "architecture": run_of("a", architecture="resnet10x"),
        "optimizer": run_of("a", optimizer="adamv"),
        "sizes": run_of("a", architecture="vit_tiny_patch16_224", image_size=64, progressive=0.5, epochs=4),
        "known": run_of("a"),
    }.items():
        try:
            require_trainable(api, run)
        except ConfigError as error:
            messages[case] = str(error)
    return {"messages": messages, "tasks_created": len(list(find(api))) - before}


def test_unknown_names_are_refused_with_a_suggestion_before_a_task_exists(call):
    refused = call(refusals)
    assert set(refused["messages"]) == {"architecture", "optimizer", "sizes"}
    assert "resnet10x" in refused["messages"]["architecture"]
    assert "resnet10t" in refused["messages"]["architecture"]
    assert "adamv" in refused["messages"]["optimizer"]
    assert "radam" in refused["messages"]["optimizer"]
    assert "images of 48 x 48 pixels" in refused["messages"]["sizes"]
    assert refused["tasks_created"] == 0


def check_after_training(architecture, changes):
    import json
    import sys

    from clearml import Task

    from pipeline.connection import Api
    from pipeline.dag.launch import require_trainable
    from planets.config import ConfigError

    run = run_of("b", architecture)
    entry, training = run.models[0], run.training["b"]
    earlier = Task.create("stages", "train_b")
    earlier.set_parameters(
        {
            "kwargs/entry": entry.model_dump_json(),
            "kwargs/training": json.dumps(training.model_dump(mode="json")),
        }
    )
    earlier.mark_started()
    earlier.mark_completed()
    try:
        require_trainable(Api(), run_of("b", architecture, **changes))
    except ConfigError as error:
        return [True, str(error)]
    return ["timm" in sys.modules, ""]


def test_what_a_completed_training_had_is_accepted_without_timm(call):
    assert call(check_after_training, "an_architecture_of_a_plugin", {"learning_rate": 0.1}) == [False, ""]


def test_other_sizes_than_those_of_a_completed_training_are_checked(call):
    checked, message = call(check_after_training, "vit_tiny_patch16_224", {"image_size": 64, "crop": 0.25})
    assert checked
    assert "images of 48 x 48 pixels" in message


def task_types():
    from clearml import PipelineController, Task

    from pipeline.connection import Api
    from pipeline.dag.execution import build

    pipe = PipelineController(name="run", project="stages", add_run_number=False)
    build(pipe, Api(), run_of("c"))
    nodes = pipe.get_pipeline_dag().values()
    return {node.name: str(Task.get_task(node.task_factory_func(node).id).task_type) for node in nodes}


def test_each_step_is_a_clearml_task_of_the_type_of_its_stage(call):
    assert call(task_types) == {
        "ingest": "data_processing",
        "register": "data_processing",
        "split": "data_processing",
        "train_c": "training",
        "evaluate_c": "testing",
        "select": "qc",
    }


def resumed(status):
    """Resume a run with a stored DAG; return each edit with the status at that moment, and what is left."""
    from pipeline.clearml_tasks import fetch
    from pipeline.connection import Api
    from pipeline.dag.launch import enqueue_again
    from pipeline.stack.queues import create_queues

    edits = []

    class Recorded(Api):
        def call(self, name, /, **body):
            if "configuration" in name:
                edits.append([name, fetch(self, [body["task"]])[body["task"]].status, body.get("force")])
            return super().call(name, **body)

    api = Api()
    create_queues(api, ["services"])
    run = api.call("tasks.create", name="run", type="controller")["id"]
    stored = [{"name": name, "value": "{}"} for name in ("Pipeline", "why", "config")]
    api.call("tasks.edit_configuration", task=run, configuration=stored)
    for call in {"in_progress": ["started"], "created": []}.get(status, ["started", status]):
        api.call(f"tasks.{call}", task=run)
    enqueue_again(Recorded(), fetch(api, [run])[run], "services")
    (queue,) = api.call("queues.get_all", name="^services$")["queues"]
    record = fetch(api, [run], "configuration")[run]
    waiting = [entry["task"] for entry in queue["entries"]].count(run)
    return {"edits": edits, "status": record.status, "waiting": waiting, "kept": list(record.configuration)}


@pytest.mark.parametrize("status", ["created", "in_progress", "stopped", "failed", "completed"])
def test_a_run_is_resumed_in_the_order_that_clearmls_server_demands(call, status):
    """It refuses every edit of a task that has ended, by force or not: enqueue first."""
    result = call(resumed, status)
    assert result["edits"] == [["tasks.delete_configuration", "queued", True]]
    assert (result["status"], result["waiting"], result["kept"]) == ("queued", 1, ["config"])


def taken_up():
    """Return the runs that are enqueued again when the worker `mine` starts, of one in each situation."""
    from pipeline.clearml_tasks import fetch
    from pipeline.config.settings import load_config
    from pipeline.connection import Api
    from pipeline.dag.launch import take_up_runs
    from pipeline.stack.queues import create_queues

    api = Api()
    config = load_config("sample", [("clearml.project", "taken up")])
    create_queues(api, [config.queues.controller])
    name = f"taken up/.pipelines/{config.clearml.pipeline}"
    project = api.call("projects.create", name=name, system_tags=["hidden"])["id"]
    runs = {}

    def run(situation, worker):
        task = api.call("tasks.create", name=situation, type="controller", project=project)["id"]
        api.call("tasks.started", task=task)
        api.call("workers.register", worker=worker, queues=[])
        api.call("workers.status_report", worker=worker, task=task, timestamp=1)
        runs[situation] = task
        return task

    run("executed before", "mine")
    api.call("workers.status_report", worker="mine", timestamp=1)
    run("executed elsewhere", "theirs")
    run("just started elsewhere", "starting")
    api.call("workers.status_report", worker="starting", timestamp=1)
    for situation, reason in {"lost": "worker lost: gone, it was ended", "broken": "exit code 1"}.items():
        api.call("tasks.failed", task=run(situation, situation), status_reason=reason)
    api.call("tasks.completed", task=run("completed", "other"))
    names = {task: situation for situation, task in runs.items()}
    taken = sorted(names[task] for task in take_up_runs(api, config, ["mine"]))
    return {
        "taken": taken,
        "queued": sorted(r.name for r in fetch(api, names).values() if r.status == "queued"),
    }


def test_a_worker_that_starts_takes_up_the_runs_that_lost_theirs(call):
    result = call(taken_up)
    assert result["taken"] == result["queued"] == ["executed before", "lost"]
