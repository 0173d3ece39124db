"""Parameters of a run and of a plain training: what a person edits, and the settings that travel with them.

The settings travel with the task as the configuration object `config`; the parameters that a person edits on
the page travel beside them as `Args/*`. A clone needs nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from pipeline.config.settings import explain
from planets.archive.table import find_archive
from planets.commands import command
from planets.config import ConfigError
from planets.config.project import Config, DatasetSource
from planets.config.training import ModelEntry, TrainingSettings, require_few
from planets.sources.source import fetch_local
from planets.synthetic.labels import PLANETS

CONFIG = "config"
"""Configuration object of a task that holds the settings as YAML."""

CODE = "code"
"""Configuration object of a run that holds the code digests of each stage, by which reruns are explained."""

WHY = "why"
"""Configuration object of a run that holds, as JSON, why each step ran or was cached."""

FORM = "form"
"""Configuration object of a run that holds, as JSON, what the page's form for a new run accepts."""

RESULTS = "results"
"""Configuration object of a run that holds, as JSON, what the page shows as its results."""

PER_MODEL = "per model"
"""Value of a parameter that leaves a setting as each model entry has it."""

TRAINING = ("epochs", "image_size", "batch_size", "learning_rate", "seed")
"""Training settings that a person edits; a list of values trains each of them."""

SOURCE = ("dataset_source", "dataset_path")

RUN_PARAMETERS = {
    "models": "names (or positions) of the model entries to train, separated by commas",
    "epochs": f"for every model, or {PER_MODEL!r} for the value of its entry; 4, 8 trains both",
    "image_size": f"pixels a side, for every model, or {PER_MODEL!r}; 64, 96 trains both",
    "batch_size": f"for every model, or {PER_MODEL!r}; 32, 64 trains both",
    "learning_rate": f"for every model, or {PER_MODEL!r}; 3e-4, 1e-3 trains both",
    "seed": f"of every training, or {PER_MODEL!r}; 1, 2, 3 trains each",
    "dataset_source": "sample, local or kaggle",
    "dataset_path": "folder in the Kaggle layout, or with a folder per label, for the source local",
    "dataset_id": "a registered dataset version to train on, instead of the source",
    "refresh": "steps to run even if cached, separated by commas; split+ is split and all steps after it",
}
"""Parameters of a run, with their descriptions: the section `Args`."""

PLAIN_PARAMETERS = {
    "model": "name (or position) of the model entry to train",
    **dict.fromkeys(TRAINING, f"a number, or {PER_MODEL!r} for the value of the entry"),
    **{name: RUN_PARAMETERS[name] for name in SOURCE},
    "dataset_id": "a registered dataset to train on; empty: the one with the source's content",
}
"""Parameters of a plain training, likewise."""


def dump(config: Config) -> str:
    """Return the settings as the YAML that travels with a run, without the webhook: it may hold a token."""
    notify = config.notify.model_copy(update={"webhook": ""})
    travels = config.model_copy(update={"notify": notify})
    return yaml.safe_dump(travels.model_dump(mode="json"), sort_keys=False)


def restore(text: str) -> Config:
    """Return the settings that `dump` wrote; a run stored without labels has those of planets.yaml."""
    tree = yaml.safe_load(text)
    tree["dataset"].setdefault("labels", PLANETS.model_dump())
    return Config.model_validate(tree)


def with_digests(config: Config, models: str) -> Config:
    """Return the settings with the digest of each weights file of `models` that this host can read.

    It travels with the run and is part of the training's cache key, so a file that changed is not mistaken
    for the one that an earlier training started from.

    Args:
        config: the settings.
        models: the parameter `models` of a run.

    Raises:
        WeightsError: a file has another digest than its entry states, or a folder lacks the architecture.
    """
    names = [model_name(config, word) for word in words(models)]
    entries = [
        _with_digest(entry, config.weights_of(entry))
        if any(name == entry.name or name.startswith(f"{entry.name}_") for name in names)
        else entry
        for entry in config.models
    ]
    return config.model_copy(update={"models": tuple(entries)})


def _with_digest(entry: ModelEntry, weights: str) -> ModelEntry:
    named = entry.model_copy(update={"weights": weights})
    place = Path(weights).expanduser().absolute()
    if named.weights_kind != "path" or not place.exists():
        return entry
    # Imports torch, which takes seconds.
    from planets.training.weights import find_file, require_digest, sha256_of

    file = find_file(place, entry.architecture)
    require_digest(file, entry.weights_sha256)
    digest = entry.weights_sha256 or sha256_of(file)
    return entry.model_copy(update={"weights": str(place), "weights_sha256": digest})


def run_arguments(
    config: Config, models: str = "", refresh: str = "", dataset_id: str = "", **training: str
) -> dict[str, str]:
    """Return the parameters of a new run of `config`, each with a value that can be seen and edited."""
    return {
        "models": models or ",".join(entry.name for entry in config.models),
        **{name: training.get(name) or PER_MODEL for name in TRAINING},
        "dataset_source": config.dataset.source,
        "dataset_path": config.dataset.path,
        "dataset_id": dataset_id,
        "refresh": refresh,
    }


def form_checks(config: Config, workers_here: bool) -> str:
    """Return as JSON what each parameter of a run accepts: the checks of `Run`, for the page's form.

    Args:
        config: the settings that travel with the run.
        workers_here: True if the workers see the folders of the server's host.
    """
    names = [entry.name for entry in config.models]
    own_names = [own_name for name in names for own_name in config.trainings_of(name) if own_name != name]
    checks: dict[str, dict[str, Any]] = {
        "models": {"words": [*names, *own_names, *map(str, range(len(names)))], "list": True},
        "dataset_source": {"words": list(get_args(DatasetSource.model_fields["source"].annotation))},
    }
    for name in TRAINING:
        limits = TrainingSettings.model_fields[name].metadata
        bounds = {"ge": "minimum", "le": "maximum", "gt": "above"}
        checks[name] = {"words": [PER_MODEL], "list": True} | {
            bound: getattr(limit, key)
            for limit in limits
            for key, bound in bounds.items()
            if hasattr(limit, key)
        }
    if workers_here:
        checks["dataset_path"] = {"folder_if": {"dataset_source": "local", "dataset_id": ""}}
    return json.dumps(checks, indent=1)


def plain_arguments(config: Config, model: str = "", dataset_id: str = "", **training: str) -> dict[str, str]:
    """Return the parameters of a new plain training; without `model` it trains the first entry."""
    shared = run_arguments(config, **training)
    return {
        "model": model or config.models[0].name,
        **{name: shared[name] for name in (*TRAINING, *SOURCE)},
        "dataset_id": dataset_id,
    }


@dataclass(frozen=True)
class Run:
    """Settings and edited parameters of a run, combined and checked.

    Attributes:
        config: the settings.
        models: one entry per training; of an entry with lists of values, one for each combination, named for
            its values.
        training: the complete settings of each training, by the name of its entry.
        refresh: the parameter `refresh`, which only the steps of the run give a meaning.
        dataset_id: a registered dataset that replaces the source; empty for none.
    """

    config: Config
    models: tuple[ModelEntry, ...]
    training: dict[str, TrainingSettings] = field(default_factory=dict)
    refresh: str = ""
    dataset_id: str = ""

    @classmethod
    def parse(cls, config: Config, edited: Mapping[str, str]) -> "Run":
        """Combine the settings with the edited parameters.

        Raises:
            ConfigError: a parameter is invalid; the message names it and the allowed values.
        """
        source = {"source": edited["dataset_source"], "path": edited["dataset_path"]}
        dataset = DatasetSource.model_validate(config.dataset.model_dump() | source)
        config = config.model_copy(update={"dataset": dataset})
        # A run or plain training of an earlier version lacks what is editable since.
        texts = {name: edited.get(name) or PER_MODEL for name in TrainingSettings.model_fields}
        values = {name: _values(text) for name, text in texts.items() if text != PER_MODEL}
        trainings = _chosen(config, edited["models"], values)
        return cls(
            config=config,
            models=tuple(entry for entry, _ in trainings),
            training={entry.name: settings for entry, settings in trainings},
            dataset_id=edited["dataset_id"].strip(),
            refresh=edited["refresh"],
        )

    @classmethod
    def parse_plain(cls, config: Config, edited: Mapping[str, str]) -> "Run":
        """Combine the settings with the edited parameters of a plain training: a run of one model.

        Raises:
            ConfigError: a parameter is invalid, or names more than one model.
        """
        training = {name: edited[name] for name in TrainingSettings.model_fields if name in edited}
        shared = {name: edited[name] for name in (*SOURCE, "dataset_id")}
        run = cls.parse(config, {"models": edited["model"], "refresh": "", **training, **shared})
        if len(run.models) > 1:
            raise ConfigError(
                f"model: one task trains one model, not {', '.join(entry.name for entry in run.models)}; "
                f"`{command('run')}` trains several"
            )
        return run

    def check_source(self, workers_here: bool) -> None:
        """Refuse a local folder that is faulty, if this host can see it, and the sample with other labels.

        Raises:
            ConfigError: the sample is drawn with labels that the label set lacks.
            SourceError: the folder is missing, and the workers are on this host.
            ArchiveError: the folder holds no archive, or its table is faulty.
        """
        data = self.config.dataset
        if self.dataset_id:
            return
        if data.source == "sample" and not {*PLANETS.labels} <= {*data.labels.labels}:
            raise ConfigError(
                "dataset.labels: the synthetic sample has the labels of labels/planets.yaml; name the source "
                "of other chips (DATASET_PATH=/some/folder)"
            )
        if data.source == "local" and (workers_here or Path(data.path).exists()):
            find_archive(fetch_local(data.path), data.labels)

    @property
    def has_ensemble(self) -> bool:
        """True if the models' average is one more candidate: a single model has nothing to average."""
        return self.config.evaluation.ensemble and len(self.models) > 1

    @property
    def source(self) -> tuple[str, str]:
        """Kind and path of the source; for a registered dataset `clearml` and its id."""
        data = self.config.dataset
        return ("clearml", self.dataset_id) if self.dataset_id else (data.source, data.path)

    def entry_json(self, entry: ModelEntry) -> str:
        """Return the fields of `entry` that identify a network, as JSON; its training settings are apart."""
        fields = entry.model_dump(exclude={"training", "training_80gb", "expected"})
        return _json(fields | {"weights": self.config.weights_of(entry)})

    def training_json(self, entry: ModelEntry) -> str:
        """Return the complete training settings of `entry` in this run, as JSON."""
        return _json(self.training[entry.name].model_dump())

    def evaluation_json(self) -> str:
        """Return the settings of an evaluation as JSON; `ensemble` only adds a step and is left out."""
        return _json(self.config.evaluation.model_dump(exclude={"ensemble"}))


def model_name(config: Config, word: str) -> str:
    """Return the name of the entry at the position `word`; any other text is itself taken for a name."""
    position = int(word) if word.isdigit() else len(config.models)
    return config.models[position].name if position < len(config.models) else word


def words(text: str) -> list[str]:
    """Split a list separated by commas into its words."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _values(text: str) -> str | list[str]:
    """Return the value that a person typed, or the values of a list: `3e-4, 1e-3`, in brackets or not."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return words(text[1:-1])
    return words(text) if "," in text else text


def _chosen(
    config: Config, text: str, values: Mapping[str, str | list[str]]
) -> list[tuple[ModelEntry, TrainingSettings]]:
    """Return the trainings that `text` names, each once: an entry's, by its name or position, or one of them.

    `values` replace those of every entry.
    """
    chosen: dict[str, tuple[ModelEntry, TrainingSettings]] = {}
    unknown = []
    for word in words(text):
        name = model_name(config, word)
        matches = {
            own_name: (entry.model_copy(update={"name": own_name}), settings)
            for entry in config.models
            if name == entry.name or name.startswith(f"{entry.name}_")
            for own_name, settings in _trainings(config, entry, values).items()
            if name in (entry.name, own_name)
        }
        chosen |= matches
        unknown += [] if matches else [name]
    if unknown or not chosen:
        names = ", ".join(entry.name for entry in config.models)
        problem = f"no entry {', '.join(unknown)}" if unknown else "none is named"
        raise ConfigError(f"models: {problem}; the entries are: {names} (or their positions from 0)")
    require_few("models", len(chosen))
    return list(chosen.values())


def _trainings(
    config: Config, entry: ModelEntry, values: Mapping[str, str | list[str]]
) -> dict[str, TrainingSettings]:
    try:
        return config.trainings_of(entry.name, **values)
    except ValidationError as error:
        raise ConfigError(explain(error, lambda _: entry.name, TrainingSettings)) from error
