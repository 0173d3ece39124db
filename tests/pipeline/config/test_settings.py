"""Settings are read in layers and checked as a whole; a fault names file, key and what is allowed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from support.archives import lay_out, lay_out_folders

from pipeline.config.folders import CONFIGS
from pipeline.config.settings import load_config
from planets.config import ConfigError
from planets.labels import Group, LabelSet
from planets.synthetic.labels import PLANETS


@pytest.fixture
def configs(tmp_path):
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def edit(file, **changes):
    tree = yaml.safe_load(file.read_text())
    for dotted, value in changes.items():
        node, *rest = dotted.split("__")
        target = tree
        while rest:
            target, node = target[node], rest.pop(0)
        target[node] = value
    file.write_text(yaml.safe_dump(tree))


@pytest.mark.parametrize("profile", [file.stem for file in (CONFIGS / "profiles").glob("*.yaml")])
def test_every_shipped_profile_is_valid(profile):
    config = load_config(profile)
    assert config.models
    for entry in config.models:
        assert config.training_of(entry.name).epochs >= 1


def test_the_sample_needs_no_accelerator_and_no_network():
    config = load_config("sample")
    assert config.dataset.source == "sample"
    assert not any(entry.pretrained for entry in config.models)
    assert set(config.queues.names()) <= config.stack.workers.keys()
    assert len(config.models) >= 2


def test_the_full_profile_is_real_data_and_pretrained_models_on_the_gpu_queue():
    config = load_config("full")
    assert config.dataset.source == "kaggle"
    assert all(entry.pretrained for entry in config.models)
    assert config.queues.train == config.queues.evaluate == "gpu"


def test_the_command_line_wins_over_the_profile_and_the_profile_over_the_project(configs):
    edit(configs / "project.yaml", training__epochs=20)
    edit(configs / "profiles" / "sample.yaml", training__epochs=12)
    assert load_config("sample", folder=configs).training.epochs == 12
    assert load_config("sample", [("training.epochs", "3")], configs).training.epochs == 3


def test_an_entry_changes_the_training_of_itself_alone(configs):
    file = configs / "models" / "sample.yaml"
    entries = yaml.safe_load(file.read_text())
    before = load_config("sample", folder=configs)
    entries[0]["training"] = {"epochs": 5}
    file.write_text(yaml.safe_dump(entries))
    config = load_config("sample", folder=configs)
    assert config.training_of(entries[0]["name"]).epochs == 5
    assert config.training_of(entries[1]["name"]) == before.training_of(entries[1]["name"])
    assert config.training_of(entries[0]["name"], epochs=2).epochs == 2


def trainings(config):
    return [name for entry in config.models for name in config.trainings_of(entry.name)]


def test_a_list_in_an_entry_is_a_training_for_each_of_its_values(configs):
    file = configs / "models" / "sample.yaml"
    entries = yaml.safe_load(file.read_text())
    # YAML reads 3e-4, which lacks a dot, as text.
    entries[0]["training"] = {"mixup": [0, 0.25], "learning_rate": ["3e-4"], "loss": ["bce", "asymmetric"]}
    file.write_text(yaml.safe_dump(entries))
    first, *others = (entry["name"] for entry in entries)
    config = load_config("sample", folder=configs)
    assert trainings(config) == [
        f"{first}_lr3e-4_loss-bce_mixup0",
        f"{first}_lr3e-4_loss-bce_mixup25e-2",
        f"{first}_lr3e-4_loss-asymmetric_mixup0",
        f"{first}_lr3e-4_loss-asymmetric_mixup25e-2",
        *others,
    ]


def test_a_list_in_the_settings_of_all_trainings_holds_for_entries_without_a_value_of_their_own(configs):
    file = configs / "models" / "sample.yaml"
    entries = yaml.safe_load(file.read_text())
    entries[0]["training"] = {"jitter": 0.1}
    file.write_text(yaml.safe_dump(entries[:2]))
    first, second = (entry["name"] for entry in entries[:2])
    config = load_config("sample", [("training.jitter", "[0, 0.2]")], configs)
    assert trainings(config) == [first, f"{second}_jitter0", f"{second}_jitter2e-1"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("[0.001, fast]", r"models/sample.yaml: models.0.training: learning_rate: .* not 'fast'"),
        ("[]", r"models/sample.yaml: models.0.training: .*: its lists of values make 0 trainings"),
        (str([index / 100 for index in range(1, 66)]), "make 65 trainings, and a run takes 1 to 64"),
    ],
)
def test_faulty_lists_are_refused_before_a_run(configs, values, said):
    file = configs / "models" / "sample.yaml"
    entries = yaml.safe_load(file.read_text())
    entries[0]["training"] = {"learning_rate": yaml.safe_load(values)}
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(ConfigError, match=said):
        load_config("sample", folder=configs)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (
            "project.yaml",
            {"training__epoch": 3},
            "project.yaml: training.epoch: unknown key; did you mean 'epochs'?",
        ),
        ("project.yaml", {"queue": {}}, "project.yaml: queue: unknown key; did you mean 'queues'?"),
        (
            "project.yaml",
            {"training__batch_size": "many"},
            "project.yaml: training.batch_size: Input should be a valid integer",
        ),
        ("project.yaml", {"training__precision": "fp8"}, "Input should be 'auto', '32-true' or 'bf16-mixed'"),
        ("project.yaml", {"queues__controller": "cpu"}, "queues: the controller's queue 'cpu'"),
        ("project.yaml", {"publish__when": "never"}, "Input should be 'better', 'higher' or 'always'"),
        (
            "profiles/sample.yaml",
            {"notify": {"webhook": "http://a"}},
            "profiles/sample.yaml: notify.webhook: it is not stored with a run",
        ),
        ("project.yaml", {"split__valid": 0.8}, "project.yaml: split: valid 0.8 + test 0.15 leave less"),
        (
            "profiles/sample.yaml",
            {"dataset": {"source": "web"}},
            "profiles/sample.yaml: dataset.source: Input should be",
        ),
        ("profiles/sample.yaml", {"dataset": {"source": "local"}}, "source `local` needs `path`"),
        ("profiles/sample.yaml", {"models": "models/none.yaml"}, "profiles/sample.yaml: models: no file"),
    ],
)
def test_a_fault_is_named_with_file_key_and_allowed_values(configs, file, change, said):
    edit(configs / file, **change)
    with pytest.raises(ConfigError) as caught:
        load_config("sample", folder=configs)
    assert said in str(caught.value)


def test_unknown_keys_list_those_that_are_allowed(configs):
    with pytest.raises(
        ConfigError, match=r"command line: split.vaild: unknown key.*allowed: valid, test, seed"
    ):
        load_config("sample", [("split.vaild", "0.2")], configs)


def test_faults_in_a_model_entry_name_its_file(configs):
    file = configs / "models" / "sample.yaml"
    entries = yaml.safe_load(file.read_text())
    entries[0]["training"] = {"epohcs": 5}
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(ConfigError, match=r"models/sample.yaml: models.0.training: epohcs: unknown key"):
        load_config("sample", folder=configs)
    entries[0].pop("training")
    entries[1]["name"] = entries[0]["name"]
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(ConfigError, match="model names must be unique"):
        load_config("sample", folder=configs)


@pytest.mark.parametrize("name", ["project", "pipeline", "dataset"])
def test_names_that_clearml_refuses_are_refused_before_the_run(configs, name):
    with pytest.raises(ConfigError, match=f"clearml.{name}: .*at least 3 characters"):
        load_config("sample", [(f"clearml.{name}", "ab")], configs)
    file = configs / "models" / "sample.yaml"
    entries = yaml.safe_load(file.read_text())
    entries[1]["name"] = "b0"
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(ConfigError, match=r"models/sample.yaml: models.1.name: 'b0' is too short"):
        load_config("sample", folder=configs)


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(ConfigError, match="unknown profile 'smaple'; the profiles are: full, gpu, sample"):
        load_config("smaple")


def test_broken_yaml_is_said_to_be_broken(configs):
    (configs / "project.yaml").write_text("training: [")
    with pytest.raises(ConfigError, match=r"project.yaml: not valid YAML"):
        load_config("sample", folder=configs)


@pytest.mark.parametrize("name", ["Планеты (v2)", "50 % #1", """a 'b' "c" """.strip(), "team/planets"])
def test_names_in_clearml_may_hold_any_letter(name):
    overrides = [(f"clearml.{key}", json.dumps(name)) for key in ("project", "pipeline", "dataset")]
    assert load_config("sample", overrides).clearml.pipeline == name


@pytest.mark.parametrize(
    "name", ["/planets", "team//planets", "planets/", " planets", "planets ", "a\nb", "a\x00bc"]
)
@pytest.mark.parametrize("key", ["clearml.project", "clearml.pipeline", "clearml.dataset"])
def test_names_that_would_be_another_in_clearml_are_refused_before_a_run(key, name):
    with pytest.raises(ConfigError, match=f"command line: {key}: .* is no name for ClearML"):
        load_config("sample", [(key, json.dumps(name))])


def labels_of(configs, value, path=None):
    source = [("dataset.source", "local"), ("dataset.path", str(path))] if path else []
    return load_config("sample", [("dataset.labels", str(value)), *source], configs).dataset.labels


def test_the_label_set_is_a_file_beside_the_settings_or_anywhere(configs, tmp_path):
    assert load_config("sample", folder=configs).dataset.labels == PLANETS
    assert "airplane" in labels_of(configs, "labels/ucmerced.yaml").labels
    (tmp_path / "mine.yaml").write_text("labels: [red, blue]")
    assert labels_of(configs, tmp_path / "mine.yaml") == LabelSet(labels=("red", "blue"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: [red, bare soil]", "mine.yaml: labels.1: 'bare soil' is no label"),
        ("labels: [red, blue, red]", "mine.yaml: labels: red: given twice"),
        ("labels: [red, yes]", "mine.yaml: labels.1: Input should be a valid string, not True"),
        ("label: [red, blue]", "mine.yaml: label: unknown key; did you mean 'labels'?"),
        (
            "{labels: [red, blue], groups: [{name: color, labels: [red, blue], lone: [red]}]}",
            "mine.yaml: groups.0.lone: unknown key; did you mean 'alone'?",
        ),
    ],
)
def test_a_faulty_label_set_is_refused_by_file_and_key(configs, tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        labels_of(configs, tmp_path / "mine.yaml")
    assert message in str(error.value)


def test_a_label_set_that_is_no_file_is_refused(configs):
    with pytest.raises(
        ConfigError, match=r"command line: dataset.labels: no file .*mars.yaml; there are: lab"
    ):
        labels_of(configs, "labels/mars.yaml")
    with pytest.raises(ConfigError, match=r"dataset.labels: expected a file in .*, or auto, not 3"):
        labels_of(configs, 3)


def test_auto_takes_the_labels_of_the_table_and_writes_the_file(configs, tmp_path, capsys):
    folder = lay_out(tmp_path / "my chips", {"a": "sea field", "b": "field", "c": "bare-soil"})
    found = LabelSet(labels=("bare-soil", "field", "sea"))
    assert labels_of(configs, "auto", folder) == found
    file = configs / "labels/my-chips.yaml"
    assert f"labels  bare-soil, field, sea: written to {file}" in capsys.readouterr().out
    assert labels_of(configs, file) == found


def test_auto_keeps_an_edited_file_that_has_all_labels(configs, tmp_path):
    folder = lay_out(tmp_path / "chips", {"a": "sea field", "b": "field"})
    (configs / "labels/chips.yaml").write_text("labels: [sea, lake, field]")
    assert labels_of(configs, "auto", folder) == LabelSet(labels=("sea", "lake", "field"))
    (configs / "labels/chips.yaml").write_text("labels: [lake, field]")
    with pytest.raises(ConfigError, match=r"lacks labels of .*: sea; add them, or delete the file"):
        labels_of(configs, "auto", folder)


def test_auto_takes_folders_as_classes_and_refuses_their_spaces(configs, tmp_path):
    folder = lay_out_folders(tmp_path / "classes", {"red": 1, "blue": 1})
    classes = ("blue", "red")
    assert labels_of(configs, "auto", folder).groups == (Group(name="class", labels=classes),)
    (folder / "red").rename(folder / "dark red")
    with pytest.raises(ConfigError, match=r"classes: labels.1: 'dark red' is no label.*write 'dark-red'"):
        labels_of(configs, "auto", folder)


def test_auto_needs_a_local_folder(configs):
    with pytest.raises(
        ConfigError, match=r"auto takes the labels of a local folder .* for the source 'sample'"
    ):
        labels_of(configs, "auto")
