"""What a run is told: settings and edited parameters brought together, and what each step gets of them."""

import json

import pytest

from pipeline.config.parameters import PER_MODEL, Run, arguments, dump
from pipeline.config.settings import load_config
from planets.config import ConfigError

CONFIG = load_config("sample")
NAMES = [entry.name for entry in CONFIG.models]
FIRST, SECOND = NAMES[:2]


def run(**edited):
    return Run.parse(dump(CONFIG), arguments(CONFIG) | edited)


def test_a_run_of_unedited_parameters_is_the_configuration():
    whole = run()
    assert whole.config == CONFIG
    assert [entry.name for entry in whole.models] == [entry.name for entry in CONFIG.models]
    assert whole.train(CONFIG.models[0])["epochs"] == CONFIG.training_of(FIRST).epochs


def test_models_are_chosen_by_name_or_position_and_shape_the_dag():
    assert run(models=SECOND).step_names() == [
        "ingest", "register", "split", f"train_{SECOND}", f"evaluate_{SECOND}", "select",
    ]  # fmt: skip
    assert run(models="1, 0,1").models == (CONFIG.models[1], CONFIG.models[0])
    evaluations = f"{FIRST}=${{evaluate_{FIRST}.id}} {SECOND}=${{evaluate_{SECOND}.id}}"
    both = run(models=f"{FIRST},{SECOND}")
    assert both.ensemble()["candidates"] == evaluations
    assert both.select()["candidates"] == f"{evaluations} ensemble=${{ensemble.id}}"


def test_there_is_no_ensemble_of_one_model_or_where_it_is_not_wanted():
    assert run().averages
    assert not run(models=FIRST).averages
    unwanted = load_config("sample", [("evaluation.ensemble", "false")])
    single = Run.parse(dump(unwanted), arguments(unwanted))
    assert not single.averages
    assert "ensemble" not in single.step_names()
    assert "ensemble" not in single.select()["candidates"]
    assert single.evaluate(CONFIG.models[0]) == run().evaluate(CONFIG.models[0])


def test_an_evaluation_is_told_what_to_try():
    told = json.loads(run().evaluate(CONFIG.models[0])["settings"])
    assert told == dict.fromkeys(("tta", "calibration", "decoding", "weather_rule"), "auto")


def test_an_edited_number_is_for_every_model():
    edited = run(epochs="3", image_size="48")
    for entry in CONFIG.models:
        told = edited.train(entry)
        assert (told["epochs"], told["image_size"]) == (3, 48)
        assert told["seed"] == CONFIG.training_of(entry.name).seed


def test_a_training_is_told_its_settings_once():
    told = run().train(CONFIG.models[0])
    rest = json.loads(told["settings"])
    assert not rest.keys() & told.keys()
    assert rest["learning_rate"] == CONFIG.training_of(FIRST).learning_rate


def test_a_plus_after_a_step_refreshes_all_that_comes_after_it():
    assert run(refresh="register").refresh == {"register"}
    fan = {f"{stage}_{name}" for stage in ("train", "evaluate") for name in NAMES}
    assert run(refresh="split+").refresh == {"split", *fan, "ensemble", "select"}
    after_one = {f"train_{FIRST}", f"evaluate_{FIRST}", "ensemble", "select"}
    assert run(refresh=f"train_{FIRST}+, ingest").refresh == {"ingest", *after_one}
    assert run(refresh="ensemble+").refresh == {"ensemble", "select"}


def test_a_registered_version_takes_the_place_of_the_source():
    told = run(dataset_source="local", dataset_path="/nowhere", dataset_id=" 123 ").ingest("run-7")
    assert (told["source"], told["path"], told["source_stamp"]) == ("clearml", "123", "")


def test_a_webhook_does_not_travel_with_a_run():
    notify = CONFIG.notify.model_copy(update={"webhook": "https://example.com/secret"})
    assert "secret" not in dump(CONFIG.model_copy(update={"notify": notify}))


def test_all_a_step_is_told_is_a_scalar_or_text():
    whole = run()
    steps = [whole.ingest("id"), whole.register(), whole.split(), whole.select(), whole.ensemble()]
    steps += [told(entry) for entry in whole.models for told in (whole.train, whole.evaluate)]
    for told in steps:
        assert {type(value) for value in told.values()} <= {str, int, float, bool}


def test_the_source_can_be_edited_and_a_local_folder_is_stamped(tmp_path):
    (tmp_path / "train-jpg").mkdir()
    (tmp_path / "train_classes.csv").write_text("image_name,tags\na,clear\n")
    local = run(dataset_source="local", dataset_path=str(tmp_path))
    before = local.ingest("id")["source_stamp"]
    (tmp_path / "train-jpg" / "a.jpg").write_bytes(b"x")
    assert local.ingest("id")["source_stamp"] != before
    assert run().ingest("id")["source_stamp"] == ""


def test_a_folder_that_the_controller_cannot_see_is_never_taken_from_the_cache():
    assert run(dataset_source="local", dataset_path="/nowhere").ingest("run-7")["source_stamp"] == "run-7"


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        ({"models": "resnet999"}, f"no entry resnet999; the entries are: {FIRST}, {SECOND}"),
        ({"models": ""}, "models: none is named"),
        ({"epochs": "three"}, f"epochs: a whole number or {PER_MODEL!r} is needed, not 'three'"),
        ({"refresh": "splitt"}, "refresh: no step splitt; the steps are: ingest"),
        ({"refresh": "train_x+"}, "refresh: no step train_x; the steps are: ingest"),
    ],
)
def test_an_edited_parameter_without_sense_is_refused_by_name(edited, said):
    with pytest.raises(ConfigError) as caught:
        run(**edited)
    assert said in str(caught.value)


def test_an_optimizer_that_timm_does_not_know_is_found_before_anything_starts():
    config = load_config("sample", [("training.optimizer", "adamvv")])
    with pytest.raises(ConfigError, match=r"no optimizer 'adamvv'; similar names: adam"):
        Run.parse(dump(config), arguments(config)).check_here(workers_here=True)
