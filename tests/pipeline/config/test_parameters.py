"""Parameters of runs and plain trainings: settings and edited values combined and checked."""

import hashlib
import json

import pytest
import yaml

from pipeline.config.parameters import (
    PER_MODEL,
    Run,
    dump,
    form_checks,
    plain_arguments,
    restore,
    run_arguments,
    with_digests,
)
from pipeline.config.settings import load_config
from planets.config import ConfigError
from planets.config.training import ModelEntry, TrainingSettings
from server.web.runs.form import faults

CONFIG = load_config("sample")
NAMES = [entry.name for entry in CONFIG.models]
FIRST, SECOND = NAMES[:2]


def run(**edited):
    return Run.parse(CONFIG, run_arguments(CONFIG) | edited)


def test_a_run_of_unedited_parameters_is_the_configuration():
    whole = run()
    assert whole.config == CONFIG
    assert [entry.name for entry in whole.models] == NAMES


def test_models_are_chosen_by_name_or_position():
    assert run(models=SECOND).models == (CONFIG.models[1],)
    assert run(models="1, 0,1").models == (CONFIG.models[1], CONFIG.models[0])


def test_an_ensemble_needs_two_models_and_the_setting():
    assert run().has_ensemble
    assert not run(models=FIRST).has_ensemble
    without = load_config("sample", [("evaluation.ensemble", "false")])
    assert not Run.parse(without, run_arguments(without)).has_ensemble


def test_an_entry_and_its_training_travel_whole():
    entry = CONFIG.models[0]
    read = ModelEntry.model_validate_json(run().entry_json(entry))
    assert (read.name, read.architecture, read.pretrained) == (
        entry.name,
        entry.architecture,
        entry.pretrained,
    )
    assert read.weights == CONFIG.weights_of(entry)
    assert TrainingSettings.model_validate_json(run().training_json(entry)) == CONFIG.training_of(entry.name)


def test_an_edited_number_holds_for_every_model():
    edited = run(epochs="3", image_size="48")
    for entry in CONFIG.models:
        training = TrainingSettings.model_validate_json(edited.training_json(entry))
        assert (training.epochs, training.image_size) == (3, 48)
        assert training.seed == CONFIG.training_of(entry.name).seed


def test_an_edited_list_trains_each_of_its_values():
    """As typed into New run, with brackets or without."""
    edited = run(models="0", epochs="2, 4", learning_rate="[3e-4, 0.001]")
    named = {entry.name: edited.training[entry.name] for entry in edited.models}
    assert {name: (settings.epochs, settings.learning_rate) for name, settings in named.items()} == {
        f"{FIRST}_epochs2_lr3e-4": (2, 3e-4),
        f"{FIRST}_epochs2_lr1e-3": (2, 1e-3),
        f"{FIRST}_epochs4_lr3e-4": (4, 3e-4),
        f"{FIRST}_epochs4_lr1e-3": (4, 1e-3),
    }
    assert edited.has_ensemble


def test_one_training_of_a_list_can_be_chosen():
    edited = run(models=f"{FIRST}_epochs4, {SECOND}_epochs2", epochs="2, 4")
    assert [entry.name for entry in edited.models] == [f"{FIRST}_epochs4", f"{SECOND}_epochs2"]


def test_a_parameter_that_an_earlier_run_lacks_is_per_model():
    arguments = run_arguments(CONFIG)
    del arguments["learning_rate"]
    assert Run.parse(CONFIG, arguments | {"epochs": ""}) == run()


def test_the_settings_of_an_evaluation_leave_out_the_ensemble():
    settings = json.loads(run().evaluation_json())
    assert settings == {"tta": "always", "weather_rule": "auto"}


def test_a_registered_version_replaces_the_source():
    registered = run(dataset_source="local", dataset_path="/nowhere", dataset_id=" 123 ")
    assert registered.source == ("clearml", "123")
    assert run(dataset_source="local", dataset_path="/nowhere").source == ("local", "/nowhere")


def test_the_settings_travel_as_text():
    assert restore(dump(CONFIG)) == CONFIG


@pytest.mark.parametrize(
    ("name", "value"),
    [("models", "nothing"), ("models", ""), ("epochs", "0"), ("epochs", "x"), ("image_size", "31"),
     ("image_size", "1025"), ("batch_size", "0"), ("seed", "-1"), ("dataset_source", "web"),
     ("epochs", "7"), ("image_size", PER_MODEL), ("seed", "0"), ("models", f"{FIRST}, 1"),
     ("epochs", "7, 9"), ("epochs", "[7, 9]"), ("epochs", "7, x"),
     ("learning_rate", "3e-4"), ("learning_rate", "[3e-4, 0.001]"), ("learning_rate", "0"),
     ("learning_rate", "fast"), ("learning_rate", "nan"), ("models", f"{FIRST}_lr1e-3")],
)  # fmt: skip
def test_the_form_of_the_page_accepts_what_a_run_accepts(name, value):
    checks = {"configuration": {"form": {"value": form_checks(CONFIG, workers_here=True)}}}
    refused = list(faults(checks, run_arguments(CONFIG) | {name: value}))
    try:
        run(**{name: value})
    except (ConfigError, ValueError):
        assert refused[0].startswith(f"{name}: ")
    else:
        assert refused == []


def test_a_webhook_does_not_travel_with_a_run():
    notify = CONFIG.notify.model_copy(update={"webhook": "https://example.com/secret"})
    assert "secret" not in dump(CONFIG.model_copy(update={"notify": notify}))


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        ({"models": "resnet999"}, f"no entry resnet999; the entries are: {FIRST}, {SECOND}"),
        ({"models": ""}, "models: none is named"),
        ({"epochs": "three"}, f"{FIRST}: epochs: Input should be a valid integer"),
        ({"epochs": "0"}, f"{FIRST}: epochs: Input should be greater than or equal to 1, not '0'"),
        ({"epochs": "2, 02"}, f"{FIRST}: {FIRST}_epochs2 occurs twice: a list repeats a value"),
        ({"epochs": "[]"}, f"{FIRST}: its lists of values make 0 trainings"),
        ({"seed": ", ".join(map(str, range(65)))}, f"{FIRST}: its lists of values make 65 trainings"),
        (
            {"models": "0,1", "seed": ", ".join(map(str, range(33)))},
            "models: its lists of values make 66 trainings",
        ),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(edited, message):
    with pytest.raises(ConfigError) as caught:
        run(**edited)
    assert message in str(caught.value)


def test_a_plain_training_is_a_run_of_one_model():
    arguments = plain_arguments(CONFIG, epochs="3")
    plain = Run.parse_plain(CONFIG, arguments)
    assert [entry.name for entry in plain.models] == [FIRST]
    assert plain.training == {FIRST: CONFIG.training_of(FIRST, epochs=3)}
    with pytest.raises(ConfigError, match="one task trains one model"):
        Run.parse_plain(CONFIG, arguments | {"model": "0,1"})


def test_a_run_stored_before_label_sets_has_that_of_the_planets_dataset():
    tree = yaml.safe_load(dump(CONFIG))
    del tree["dataset"]["labels"]
    assert restore(yaml.safe_dump(tree)) == CONFIG


def test_the_sample_with_other_labels_is_refused():
    config = load_config("sample", [("dataset.labels", "labels/ucmerced.yaml")])
    other = Run.parse(config, run_arguments(config))
    with pytest.raises(ConfigError, match=r"sample has the labels of labels/planets.yaml"):
        other.check_source(workers_here=True)
    Run.parse(config, run_arguments(config, dataset_id="d1")).check_source(workers_here=True)
    run().check_source(workers_here=True)


def weighted(tmp_path, **fields):
    """Settings with `fields` for the first model, and the folder `tmp_path` for the weights of the others."""
    entries = [entry.model_copy(update={"pretrained": True}) for entry in CONFIG.models]
    first = ModelEntry.model_validate(entries[0].model_dump() | fields)
    return CONFIG.model_copy(update={"models": (first, *entries[1:]), "weights": str(tmp_path)})


def test_the_digest_of_a_weights_file_travels_with_a_run_and_is_a_part_of_the_cache_key(tmp_path):
    file = tmp_path / "weights.pth"
    in_folder = tmp_path / f"{CONFIG.model(SECOND).architecture}.safetensors"
    keys = []
    for content in (b"one", b"other"):
        file.write_bytes(content)
        in_folder.write_bytes(content)
        config = with_digests(weighted(tmp_path, weights=str(file)), f"{FIRST}_lr1e-3,1")
        assert restore(dump(config)) == config
        whole = Run.parse(config, run_arguments(config, models=f"{FIRST},{SECOND}", epochs="1,2"))
        assert len(whole.models) == 4
        keys.append({whole.entry_json(entry) for entry in whole.models})
        digests = {json.loads(key)["weights_sha256"] for key in keys[-1]}
        assert digests == {hashlib.sha256(content).hexdigest()}
    assert keys[0].isdisjoint(keys[1])


def test_weights_that_this_host_cannot_read_are_left_to_the_workers(tmp_path):
    for weights in ("/nowhere/weights.pth", "a1_in1k", "1" * 32):
        config = with_digests(weighted(tmp_path / "none", weights=weights), FIRST)
        assert not config.models[0].weights_sha256


def test_another_digest_is_refused_before_a_run_starts(tmp_path):
    from planets.training.weights import WeightsError

    file = tmp_path / "weights.pth"
    file.write_bytes(b"weights")
    config = weighted(tmp_path / "none", weights=str(file), weights_sha256="0" * 64)
    assert with_digests(config, SECOND) == config
    with pytest.raises(WeightsError, match=rf"{file} has the SHA-256 .*, not 0000"):
        with_digests(config, FIRST)
