"""Ranges of a sweep: from a line or a file to ClearML's parameters, checked against the settings."""

import pytest

from pipeline.config.ranges import parse_ranges, read_ranges, values_of
from pipeline.config.settings import load_config
from planets.config import ConfigError

CONFIG = load_config("sample")
MODEL = CONFIG.models[0].name


def parsed(text):
    return [parameter.to_dict() for parameter in parse_ranges(CONFIG, MODEL, text)]


def test_a_range_of_magnitudes_is_searched_by_its_logarithm():
    rate, mixup, epochs = parsed("learning_rate=1e-4..1e-2 mixup=0..0.5 epochs=2..8")
    assert (rate["type"], rate["name"]) == ("LogUniformParameterRange", "Args/learning_rate")
    assert (rate["min_value"], rate["max_value"]) == (-4, -2)
    assert (mixup["type"], mixup["max_value"]) == ("UniformParameterRange", 0.5)
    assert (epochs["type"], epochs["min_value"]) == ("UniformIntegerParameterRange", 2)


def test_values_are_of_the_settings_type():
    batch, flips, loss = parsed("batch_size=32,64 flips=true,false loss=bce,asymmetric")
    assert batch["values"] == [32, 64]
    assert flips["values"] == [True, False]
    assert loss["values"] == ["bce", "asymmetric"]


def test_a_file_is_the_same_as_a_line(tmp_path):
    file = tmp_path / "ranges.yaml"
    file.write_text("learning_rate: 1e-4..1e-2\nbatch_size: [32, 64]\nflips: [true, false]\n")
    line = "learning_rate=1e-4..1e-2 batch_size=32,64 flips=true,false"
    assert read_ranges(str(file)) == line
    assert read_ranges(f"  {line.replace(' ', '   ')} ") == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ranges: settings to search are needed, each once"),
        ("epochs", "ranges: settings to search are needed"),
        ("epochs=1..2 epochs=3..4", "each once"),
        ("learnin_rate=1..2", "unknown key; did you mean 'learning_rate'"),
        ("epochs=0..4", "epochs: Input should be greater than or equal to 1, not '0'"),
        ("epochs=4..2", "a range needs two numbers, the lower one first"),
        ("loss=bce..asymmetric", "a range needs two numbers"),
        ("learning_rate=fast,slow", "not 'fast'"),
    ],
)
def test_a_faulty_range_is_refused_by_name(text, message):
    with pytest.raises(ConfigError, match=message):
        parsed(text)


def test_a_file_that_is_missing_or_no_mapping_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read"):
        read_ranges(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("- epochs\n")
    with pytest.raises(ConfigError, match="expected lines such as"):
        read_ranges(str(tmp_path / "list.yaml"))


def test_the_section_of_the_task_is_no_part_of_a_setting():
    assert values_of({"Args/epochs": 3}) == {"epochs": 3}
