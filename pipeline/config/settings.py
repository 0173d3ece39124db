"""Read and validate the settings: `configs/project.yaml`, then a profile, then the command line."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.folders import CONFIGS
from planets.config import ConfigError
from planets.config.project import SHORTEST_NAME, Config
from planets.config.training import ModelEntry, TrainingSettings
from planets.labels import LabelSet
from planets.system import atomic_write

Tree = dict[str, Any]

LABELS = "dataset.labels"
AUTO = "auto"
"""Value of the setting `dataset.labels` that takes the labels from the chips."""

WEBHOOK = "notify.webhook"
HOW_TO_SET_A_WEBHOOK = (
    "it is not stored with a run, because it may hold a token: set it where the controllers' workers run, "
    "as PLANETS_WEBHOOK in their environment or in .env.local, or in configs/project.yaml"
)


@dataclass
class Layers:
    """A tree of settings under construction, and the place that last set each dotted key."""

    tree: Tree = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def merge(self, tree: Mapping[str, Any], origin: str) -> None:
        """Lay `tree` over the current one; mappings are merged, other values replaced."""
        self._merge(tree, origin, self.tree, "")

    def _merge(self, tree: Mapping[str, Any], origin: str, node: Tree, prefix: str) -> None:
        for key, value in tree.items():
            self.origin[f"{prefix}{key}"] = origin
            if isinstance(value, Mapping):
                if not isinstance(node.get(key), dict):
                    node[key] = {}
                self._merge(value, origin, node[key], f"{prefix}{key}.")
            else:
                node[key] = value

    def place(self, dotted: str) -> str:
        """Return the file (or the command line) that set `dotted`, or its nearest parent."""
        while dotted and dotted not in self.origin:
            dotted = dotted.rpartition(".")[0]
        return self.origin.get(dotted, "project.yaml")


def load_config(profile: str, overrides: Sequence[tuple[str, str]] = (), folder: Path = CONFIGS) -> Config:
    """Return the settings of `profile` with `overrides`, pairs of a dotted key and its YAML text.

    Raises:
        ConfigError: a key is unknown or has the wrong type, settings contradict each other, or a file is
            missing or not valid YAML; the message names file, key and the allowed values.
    """
    layers = Layers()
    layers.merge(_read(folder / "project.yaml"), "project.yaml")
    layers.merge(_read(_profile(folder, profile)), f"profiles/{profile}.yaml")
    for key, text in overrides:
        layers.merge(_nested(key, _parse(text, f"--set {key}")), "command line")
    _load_models(layers, folder)
    _load_labels(layers, folder)
    webhook = layers.place(WEBHOOK)
    if webhook != "project.yaml":
        raise ConfigError(f"{webhook}: {WEBHOOK}: {HOW_TO_SET_A_WEBHOOK}")
    return _validated(layers)


def _profile(folder: Path, profile: str) -> Path:
    path = folder / "profiles" / f"{profile}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in (folder / "profiles").glob("*.yaml"))
        raise ConfigError(f"unknown profile {profile!r}; the profiles are: {', '.join(known)}")
    return path


def _read(path: Path) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    tree = _parse(text, str(path)) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, not a {type(tree).__name__}")
    return tree


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from error


def _nested(dotted: str, value: Any) -> Tree:
    head, _, rest = dotted.partition(".")
    return {head: _nested(rest, value) if rest else value}


def _load_models(layers: Layers, folder: Path) -> None:
    """Replace `models: <file>` by the entries of that file."""
    file = layers.tree.get("models")
    if not isinstance(file, str):
        raise ConfigError(
            f"{layers.place('models')}: models: expected the name of a file in {folder}, not {file!r}"
        )
    path = folder / file
    if not path.is_file():
        raise ConfigError(f"{layers.place('models')}: models: no file {path}")
    entries = _parse(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: expected a list of model entries")
    _spread_lists(layers, entries)
    layers.tree["models"] = entries
    layers.origin["models"] = file


def _spread_lists(layers: Layers, entries: Sequence[Tree]) -> None:
    """Move the lists of values in `training` to the entries, which are where a run looks for them."""
    training = layers.tree.get("training")
    if not isinstance(training, dict):
        return
    for key, values in training.items():
        if isinstance(values, list) and values:
            training[key] = values[0]
            for entry in entries:
                own = entry.setdefault("training", {})
                if isinstance(own, dict):
                    own.setdefault(key, values)


def _load_labels(layers: Layers, folder: Path) -> None:
    """Replace `dataset.labels: <file>` by the label set of that file, which `auto` writes first."""
    dataset, place = layers.tree.get("dataset"), layers.place(LABELS)
    value = dataset.get("labels") if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict) or not isinstance(value, str):
        raise ConfigError(f"{place}: {LABELS}: expected a file in {folder}, or {AUTO}, not {value!r}")
    path = folder / Path(value).expanduser() if value != AUTO else _discovered(dataset, place, folder)
    if not path.is_file():
        known = sorted(f"labels/{file.name}" for file in (folder / "labels").glob("*.yaml"))
        raise ConfigError(f"{place}: {LABELS}: no file {path}; there are: {', '.join([*known, AUTO])}")
    dataset["labels"] = read_label_set(path).model_dump()


def read_label_set(path: Path) -> LabelSet:
    """Return the label set in a YAML file. Raises ConfigError, which names file and key."""
    try:
        return LabelSet.model_validate(_read(path))
    except ValidationError as error:
        raise ConfigError(explain(error, lambda _: str(path), LabelSet)) from error


def _discovered(dataset: Tree, place: str, folder: Path) -> Path:
    """Return the file with the labels of the local folder of chips; write it unless it exists."""
    # pandas takes half a second to import.
    from planets.archive.table import discover_labels

    if dataset.get("source") != "local" or not dataset.get("path"):
        raise ConfigError(
            f"{place}: {LABELS}: {AUTO} takes the labels of a local folder (DATASET_PATH=/some/folder); "
            f"for the source {dataset.get('source')!r} name a file, such as labels/planets.yaml"
        )
    root = Path(str(dataset["path"])).expanduser()
    try:
        labels = discover_labels(root)
    except ValidationError as error:
        raise ConfigError(explain(error, lambda _: str(root), LabelSet)) from error
    name = re.sub(r"[^\w.-]+", "-", root.name)
    file = folder / "labels" / f"{name}.yaml"
    if not file.is_file():
        _write_label_set(file, labels, root)
    elif missing := sorted({*labels.labels} - {*read_label_set(file).labels}):
        raise ConfigError(
            f"{place}: {LABELS}: {file} lacks labels of {root}: {', '.join(missing)}; add them, or delete "
            "the file and run again"
        )
    return file


def _write_label_set(file: Path, labels: LabelSet, root: Path) -> None:
    head = f"# Labels found in {root}; order, titles, groups and card may be edited: see planets.yaml.\n"
    text = yaml.safe_dump(labels.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    try:
        with atomic_write(file) as partial:
            partial.write_text(head + text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}; name a file in {LABELS}") from error
    print(f"labels  {', '.join(labels.labels)}: written to {file}")


def _validated(layers: Layers) -> Config:
    try:
        config = Config.model_validate(layers.tree)
    except ValidationError as error:
        raise ConfigError(explain(error, layers.place, Config)) from error
    for index, entry in enumerate(config.models):
        # Not in ModelEntry, because stored entries of earlier runs may have shorter names.
        if len(entry.name) < SHORTEST_NAME:
            raise ConfigError(
                f"{layers.place('models')}: models.{index}.name: {entry.name!r} is too short;"
                f" ClearML registers models under names of at least {SHORTEST_NAME} characters"
            )
        _check_training(config, entry, f"models.{index}.training", layers)
    return config


def _check_training(config: Config, entry: ModelEntry, key: str, layers: Layers) -> None:
    try:
        config.trainings_of(entry.name)
    except ValidationError as error:
        raise ConfigError(
            explain(error, lambda _: f"{layers.place('models')}: {key}", TrainingSettings)
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{layers.place('models')}: {key}: {error}") from error


def explain(error: ValidationError, place: Any, model: type[BaseModel]) -> str:
    """Return one line per error of a validation: file, key, the problem and the allowed values."""
    lines = []
    for problem in error.errors():
        dotted = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = _unknown(str(problem["loc"][-1]), _fields_at(model, problem["loc"][:-1]))
        elif problem["type"] not in ("value_error", "missing"):
            text = f"{text}, not {problem['input']!r}"
        lines.append(f"{place(dotted)}: {dotted}: {text}" if dotted else f"{place(dotted)}: {text}")
    return "\n".join(lines)


def _unknown(key: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown key{hint} (allowed: {', '.join(allowed)})"


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the field names of the model at `location` below `model`."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(model.model_fields)
