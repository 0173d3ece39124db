"""Starting a run: unknown names are refused before it exists, and its steps get the types of their stages."""

import pytest
from support import sdk_process


@pytest.fixture
def call(server, tmp_path):
    """Calls a function of this module in a process of its own that is connected to `server`."""
    return lambda function, *arguments: sdk_process.call(server, tmp_path, function, *arguments)


def run_of(name, architecture="resnet10t", optimizer="adamw"):
    from pipeline.config.parameters import Run, dump, run_arguments
    from pipeline.config.settings import load_config

    config = load_config("sample", [("training.optimizer", optimizer)])
    entry = config.models[0].model_copy(
        update={"name": name, "architecture": architecture, "pretrained": False, "training": {}}
    )
    config = config.model_copy(update={"models": (entry,)})
    return Run.parse(dump(config), run_arguments(config))


def refusals():
    from pipeline.clearml_tasks import find
    from pipeline.connection import Api
    from pipeline.dag.launch import require_names
    from planets.config import ConfigError

    api = Api()
    before, messages = len(list(find(api))), {}
    for case, run in {
        "architecture": run_of("a", architecture="resnet10x"),
        "optimizer": run_of("a", optimizer="adamv"),
        "known": run_of("a"),
    }.items():
        try:
            require_names(api, run)
        except ConfigError as error:
            messages[case] = str(error)
    return {"messages": messages, "tasks_created": len(list(find(api))) - before}


def test_unknown_names_are_refused_with_a_suggestion_before_a_task_exists(call):
    refused = call(refusals)
    assert set(refused["messages"]) == {"architecture", "optimizer"}
    assert "resnet10x" in refused["messages"]["architecture"]
    assert "resnet10t" in refused["messages"]["architecture"]
    assert "adamv" in refused["messages"]["optimizer"]
    assert "radam" in refused["messages"]["optimizer"]
    assert refused["tasks_created"] == 0


def check_after_training(architecture):
    import json
    import sys

    from clearml import Task

    from pipeline.connection import Api
    from pipeline.dag.launch import require_names

    run = run_of("b", architecture)
    entry, training = run.models[0], run.config.training_of("b")
    earlier = Task.create("stages", "train_b")
    earlier.set_parameters(
        {
            "kwargs/entry": entry.model_dump_json(),
            "kwargs/training": json.dumps(training.model_dump(mode="json")),
        }
    )
    earlier.mark_started()
    earlier.mark_completed()
    require_names(Api(), run)
    return "timm" in sys.modules


def test_names_of_a_completed_training_are_accepted_without_timm(call):
    assert call(check_after_training, "an_architecture_of_a_plugin") is False


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
