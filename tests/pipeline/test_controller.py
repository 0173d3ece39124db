"""The DAG: what each step gets, what it returns, and which steps a refresh names."""

import inspect
import json
import re
from typing import get_args

import pytest
from clearml import Task

from pipeline.config.parameters import Run, run_arguments
from pipeline.config.settings import load_config
from pipeline.controller import results_of, steps_of, steps_to_refresh
from planets.config import ConfigError

CONFIG = load_config("sample")
NAMES = [entry.name for entry in CONFIG.models]
FIRST, SECOND = NAMES[:2]


def run(config=CONFIG, **edited):
    return Run.parse(config, run_arguments(config) | edited)


def steps(config=CONFIG, run_id="run-7", **edited):
    return {step.name: step for step in steps_of(run(config, **edited), run_id)}


def refreshed(text, **edited):
    return steps_to_refresh(text, steps_of(run(**edited)))


def test_the_models_shape_the_dag():
    assert list(steps(models=SECOND)) == [
        "ingest", "register", "split", f"train_{SECOND}", f"evaluate_{SECOND}", "select",
    ]  # fmt: skip
    fan = [f"{stage}_{name}" for name in NAMES for stage in ("train", "evaluate")]
    assert list(steps()) == ["ingest", "register", "split", *fan, "ensemble", "select"]


def test_candidates_are_all_evaluations():
    both = steps(models=f"{FIRST},{SECOND}")
    evaluations = f"{FIRST}=${{evaluate_{FIRST}.id}} {SECOND}=${{evaluate_{SECOND}.id}}"
    assert both["ensemble"].parameters["candidates"] == evaluations
    assert both["select"].parameters["candidates"] == f"{evaluations} ensemble=${{ensemble.id}}"
    assert "ensemble" not in steps(models=FIRST)["select"].parameters["candidates"]


def test_every_step_fits_its_function():
    for step in steps().values():
        signature = inspect.signature(step.function)
        assert set(step.arguments) == set(signature.parameters), step.name
        assert step.function.__module__ == f"steps.{step.stage}"
        assert {type(value) for value in step.arguments.values()} <= {str, int, float, bool}
        assert len(get_args(signature.return_annotation) or [str]) == len(step.returns), step.name


def test_the_declared_results_are_what_steps_return():
    both = steps(models=f"{FIRST},{SECOND}")
    declared = results_of(list(both.values()))
    curves = {f"evaluate_{name}": {"curves": f"train_{name}"} for name in (FIRST, SECOND)}
    assert declared["rows"] == curves | {"ensemble": {"curves": ""}}
    needed = {declared["name"], declared["model"], *(column["value"] for column in declared["columns"])}
    assert all(needed <= set(both[name].returns) for name in (*declared["rows"], declared["best"]))
    assert declared["note"].partition(".")[0] in both[declared["best"]].returns


def test_every_step_refers_to_steps_before_it():
    earlier = set()
    for step in steps().values():
        text = json.dumps(step.parameters)
        assert set(re.findall(r"\$\{([\w-]+)\.", text)) <= earlier, step.name
        assert {parent.name for parent in step.parents} <= earlier
        earlier.add(step.name)
    with pytest.raises(KeyError, match="split does not return dataset_id"):
        steps()["split"].returned("dataset_id")


def test_every_step_has_the_type_of_its_work():
    types = {step.stage: step.task_type for step in steps().values()}
    assert types == {
        "ingest": "data_processing", "register": "data_processing", "split": "data_processing",
        "train": "training", "evaluate": "testing", "ensemble": "testing", "select": "qc",
    }  # fmt: skip
    assert set(types.values()) <= {str(kind) for kind in Task.TaskTypes}


def test_one_entrys_epochs_change_the_arguments_of_its_training_alone():
    entry = CONFIG.models[0]
    longer = entry.model_copy(update={"training": entry.training | {"epochs": 7}})
    changed = CONFIG.model_copy(update={"models": (longer, *CONFIG.models[1:])})
    before, after = steps(), steps(changed)
    assert [name for name in before if before[name].arguments != after[name].arguments] == [f"train_{FIRST}"]


def test_a_value_added_to_a_list_adds_a_training_and_leaves_the_others_cached():
    """Equal arguments of a step are its cache key."""
    before = steps(models=FIRST, learning_rate="3e-4, 1e-3")
    after = steps(models=FIRST, learning_rate="3e-4, 1e-3, 3e-3")
    new = set(after) - set(before)
    assert new == {f"train_{FIRST}_lr3e-3", f"evaluate_{FIRST}_lr3e-3"}
    changed = {name for name in before if before[name].arguments != after[name].arguments}
    assert changed == {"ensemble", "select"}
    training = json.loads(after[f"train_{FIRST}_lr3e-3"].arguments["training"])
    assert training["learning_rate"] == 3e-3


def test_a_plus_after_a_step_refreshes_its_descendants():
    assert refreshed("register") == {"register"}
    fan = {f"{stage}_{name}" for stage in ("train", "evaluate") for name in NAMES}
    assert refreshed("split+") == {"split", *fan, "ensemble", "select"}
    after_one = {f"train_{FIRST}", f"evaluate_{FIRST}", "ensemble", "select"}
    assert refreshed(f"train_{FIRST}+, ingest") == {"ingest", *after_one}
    assert refreshed("ensemble+") == {"ensemble", "select"}
    assert refreshed("") == frozenset()


@pytest.mark.parametrize("text", ["splitt", "train_x+"])
def test_a_refresh_of_an_unknown_step_is_refused(text):
    with pytest.raises(
        ConfigError, match=rf"refresh: no step {text.removesuffix('+')}; the steps are: ingest"
    ):
        refreshed(text)


def test_a_local_folder_is_stamped(tmp_path):
    (tmp_path / "train-jpg").mkdir()
    (tmp_path / "train_classes.csv").write_text("image_name,tags\na,clear\n")

    def stamp(**edited):
        return steps(**edited)["ingest"].parameters["source_stamp"]

    local = {"dataset_source": "local", "dataset_path": str(tmp_path)}
    before = stamp(**local)
    (tmp_path / "train-jpg" / "a.jpg").write_bytes(b"x")
    assert stamp(**local) != before
    assert stamp() == ""
    assert stamp(dataset_source="local", dataset_path="/nowhere") == "run-7", "unseen: never cached"
