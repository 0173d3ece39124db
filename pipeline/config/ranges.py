"""Ranges of training settings that a sweep searches, as a person writes them.

`learning_rate=1e-4..1e-2` is a range, `batch_size=32,64` a choice. A range of fractional numbers whose ends
differ by a factor of ten or more is searched by its logarithm: rates and decays matter by their magnitude.
"""

from collections.abc import Mapping
from math import log10
from pathlib import Path
from typing import Any

import yaml
from clearml.automation import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from clearml.automation.parameters import Parameter
from pydantic import ValidationError

from pipeline.config.settings import explain
from planets.config import ConfigError
from planets.config.project import Config
from planets.config.training import TrainingSettings

RANGES = "ranges"
"""Parameter of a sweep that holds them, separated by spaces."""

EXAMPLE = "learning_rate=1e-4..1e-2 batch_size=32,64"


def read_ranges(text: str) -> str:
    """Return ranges as one line; `text` is that line, or the path of a YAML file with a mapping of them.

    Raises:
        ConfigError: the file is missing, or is no mapping of settings to a range or to a list of values.
    """
    if not text.endswith((".yaml", ".yml")):
        return " ".join(text.split())
    try:
        tree = yaml.safe_load(Path(text).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{RANGES}: {text} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{RANGES}: {text}: expected lines such as `learning_rate: 1e-4..1e-2`")
    pairs = {name: value if isinstance(value, list) else [value] for name, value in tree.items()}
    return " ".join(f"{name}={','.join(map(_text, values))}" for name, values in pairs.items())


def parse_ranges(config: Config, model: str, text: str, section: str = "Args") -> list[Parameter]:
    """Return ClearML's form of ranges in one line, for the entry `model`; a task has them in `section`.

    Raises:
        ConfigError: no range is given, a setting is unknown, or a value is invalid.
    """
    pairs = [word.partition("=") for word in text.split()]
    names = [name for name, _, _ in pairs]
    if not pairs or len(set(names)) < len(names) or not all(values for _, _, values in pairs):
        raise ConfigError(f"{RANGES}: settings to search are needed, each once, such as {EXAMPLE!r}")
    return [_parameter(config, model, name, values, section) for name, _, values in pairs]


def _parameter(config: Config, model: str, name: str, text: str, section: str) -> Parameter:
    def valid(value: str) -> Any:
        try:
            return getattr(config.training_of(model, **{name: value.strip()}), name)
        except ValidationError as error:
            raise ConfigError(explain(error, lambda _: RANGES, TrainingSettings)) from error

    low, dots, high = text.partition("..")
    key = f"{section}/{name}"
    if not dots:
        values = [valid(value) for value in text.split(",")]
        return DiscreteParameterRange(key, values)
    first, last = valid(low), valid(high)
    if isinstance(first, bool | str) or not first < last:
        raise ConfigError(f"{RANGES}: {name}: a range needs two numbers, the lower one first, not {text!r}")
    if isinstance(first, int):
        return UniformIntegerParameterRange(key, first, last)
    if first > 0 and last >= 10 * first:
        return LogUniformParameterRange(key, log10(first), log10(last))
    return UniformParameterRange(key, first, last)


def values_of(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a trial by name, without the section of the task."""
    return {key.partition("/")[2]: value for key, value in overrides.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
