"""What a run is told, and what each of its steps is told.

The settings travel with the controller's task as the configuration object `config`; what a person edits in
the web UI travels beside them as the parameters `Args/*`. A clone of a run thus needs nothing else.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.refresh import steps_to_refresh, words
from pipeline.config.timm_names import require_names
from planets.archive.layout import source_stamp
from planets.archive.table import find_archive
from planets.config import ConfigError
from planets.config.evaluation import ENSEMBLE
from planets.config.project import Config, DatasetSource
from planets.config.training import ModelEntry
from planets.sources.source import fetch_local
from steps.clearml.code_version import code_of

CONFIG = "config"
"""Name of the controller's configuration object that holds the settings as YAML."""

CODE = "code"
"""Name of the one that holds which code each stage could reach, for explaining what ran again."""

WHY = "why"
"""Name of the one that holds for each step, as JSON, why it ran or did not."""

PER_MODEL = "per model"
"""Value of a parameter that leaves a setting as each model entry has it."""

DESCRIPTIONS = {
    "models": "names (or positions) of the model entries to train, separated by commas",
    "epochs": f"for every model, or {PER_MODEL!r}: as its entry says",
    "image_size": f"pixels a side, for every model, or {PER_MODEL!r}",
    "batch_size": f"for every model, or {PER_MODEL!r}",
    "seed": f"of every training, or {PER_MODEL!r}",
    "dataset_source": "sample, local or kaggle",
    "dataset_path": "folder in the Kaggle layout, for the source local",
    "dataset_id": "a registered version of the dataset to train on, in place of the source",
    "refresh": "steps to run even if the cache has them, separated by commas; split+ is split and all after",
}
"""The parameters that a person edits: what `Args` holds."""

TRAINING = ("epochs", "image_size", "batch_size", "seed")


def dump(config: Config) -> str:
    """The settings as the YAML text that travels with a run; a webhook may hold a token, and stays here."""
    notify = config.notify.model_copy(update={"webhook": ""})
    travels = config.model_copy(update={"notify": notify})
    return yaml.safe_dump(travels.model_dump(mode="json"), sort_keys=False)


def arguments(
    config: Config, models: str = "", refresh: str = "", dataset_id: str = "", **training: str
) -> dict[str, str]:
    """The parameters of a new run of `config`, each with a value that can be seen and edited."""
    return {
        "models": models or ",".join(entry.name for entry in config.models),
        **{name: training.get(name) or PER_MODEL for name in TRAINING},
        "dataset_source": config.dataset.source,
        "dataset_path": config.dataset.path,
        "dataset_id": dataset_id,
        "refresh": refresh,
    }


@dataclass(frozen=True)
class Run:
    """A run as its controller sees it: settings and edited parameters brought together, and checked."""

    config: Config
    models: tuple[ModelEntry, ...]
    training: dict[str, int] = field(default_factory=dict)
    refresh: frozenset[str] = frozenset()
    dataset_id: str = ""

    @classmethod
    def parse(cls, config_text: str, edited: dict[str, str]) -> "Run":
        """Bring together the YAML text of the settings and the edited parameters.

        Raises:
            ConfigError: a parameter has no sense; the message names it and the allowed values.
        """
        config = Config.model_validate(yaml.safe_load(config_text))
        source = {"source": edited["dataset_source"], "path": edited["dataset_path"]}
        dataset = DatasetSource.model_validate(config.dataset.model_dump() | source)
        config = config.model_copy(update={"dataset": dataset})
        run = cls(
            config=config,
            models=_chosen(config, edited["models"]),
            training={name: _number(name, edited[name]) for name in TRAINING if edited[name] != PER_MODEL},
            dataset_id=edited["dataset_id"].strip(),
        )
        run._check()
        return replace(run, refresh=steps_to_refresh(edited["refresh"], run.step_names()))

    def _check(self) -> None:
        for entry in self.models:
            self.config.training_of(entry.name, **self.training)

    def check_here(self, workers_here: bool) -> None:
        """Find what this host can already see to be wrong: names that timm must know, a local folder's table.

        Raises:
            ConfigError: timm has no such model or optimiser.
            SourceError: there is no such folder, and the workers are on this host.
            ArchiveError: the folder is here and holds no archive, or its table is faulty.
        """
        require_names(
            [entry.architecture for entry in self.models],
            [self.config.training_of(entry.name).optimizer for entry in self.models],
        )
        data = self.config.dataset
        if data.source == "local" and not self.dataset_id and (workers_here or Path(data.path).exists()):
            find_archive(fetch_local(data.path))

    def step_names(self) -> list[str]:
        """The names of all steps, in the order of the DAG."""
        fan = [f"{stage}_{entry.name}" for entry in self.models for stage in ("train", "evaluate")]
        return ["ingest", "register", "split", *fan, *([ENSEMBLE] if self.averages else []), "select"]

    @property
    def averages(self) -> bool:
        """Whether the models together are one more candidate: one model alone has nothing to average."""
        return self.config.evaluation.ensemble and len(self.models) > 1

    def ingest(self, run_id: str) -> dict[str, Any]:
        """What `ingest` is told. A local folder that this host cannot see is never taken from the cache."""
        data = self.config.dataset
        source, path = ("clearml", self.dataset_id) if self.dataset_id else (data.source, data.path)
        folder = Path(path)
        stamp = "" if source != "local" else source_stamp(folder) if folder.is_dir() else run_id
        return {
            "source": source,
            "path": path,
            "kaggle": data.kaggle,
            "sample_chips": data.sample.chips,
            "sample_seed": data.sample.seed,
            "max_bad_fraction": data.max_bad_fraction,
            "source_stamp": stamp,
            **self._dataset_name(),
            "code_version": code_of("ingest").version,
        }

    def register(self) -> dict[str, Any]:
        """What `register` is told."""
        return {
            "dataset_id": returned("ingest", "dataset_id"),
            "content_hash": returned("ingest", "content_hash"),
            **self._dataset_name(),
            "code_version": code_of("register").version,
        }

    def split(self) -> dict[str, Any]:
        """What `split` is told."""
        return {
            "dataset_id": returned("register", "dataset_id"),
            **self.config.split.model_dump(),
            "code_version": code_of("split").version,
        }

    def train(self, entry: ModelEntry) -> dict[str, Any]:
        """What the training of `entry` is told."""
        settings = self.config.training_of(entry.name, **self.training).model_dump()
        return {
            "name": entry.name,
            "architecture": entry.architecture,
            "pretrained": entry.pretrained,
            "weights": self.config.weights_of(entry.name),
            "licence": entry.license,
            **{name: settings.pop(name) for name in TRAINING},
            "settings": json.dumps(settings, sort_keys=True),
            "dataset_id": returned("register", "dataset_id"),
            "split_id": returned("split", "split_id"),
            "code_version": code_of("train").version,
        }

    def evaluate(self, entry: ModelEntry) -> dict[str, Any]:
        """What the evaluation of `entry` is told; the training by its id, so that a failed one is named."""
        return {
            "name": entry.name,
            "licence": entry.license,
            "settings": self._evaluation(),
            "train_id": f"${{train_{entry.name}.id}}",
            "dataset_id": returned("register", "dataset_id"),
            "split_id": returned("split", "split_id"),
            "split_seed": self.config.split.seed,
            "code_version": code_of("evaluate").version,
        }

    def ensemble(self) -> dict[str, Any]:
        """What the ensemble is told: one string for all models, so that any fan-out fits its signature."""
        return {
            "candidates": self._evaluations(),
            "settings": self._evaluation(),
            "dataset_id": returned("register", "dataset_id"),
            "split_id": returned("split", "split_id"),
            "split_seed": self.config.split.seed,
            "code_version": code_of("ensemble").version,
        }

    def select(self) -> dict[str, Any]:
        """What `select` is told: the candidates in one string likewise."""
        return {
            "candidates": self._evaluations() + (f" {ENSEMBLE}=${{{ENSEMBLE}.id}}" if self.averages else ""),
            "champion": "",  # see `pipeline.dag.incumbent`
            "when": self.config.publish.when,
            "seed": self.config.split.seed,
            "code_version": code_of("select").version,
        }

    def _evaluations(self) -> str:
        return " ".join(f"{entry.name}=${{evaluate_{entry.name}.id}}" for entry in self.models)

    def _evaluation(self) -> str:
        """The settings of every evaluation as JSON; whether there is an ensemble is none of theirs."""
        return json.dumps(self.config.evaluation.model_dump(exclude={"ensemble"}), sort_keys=True)

    def _dataset_name(self) -> dict[str, str]:
        return {"dataset_project": self.config.clearml.project, "dataset_name": self.config.clearml.dataset}


def returned(step: str, name: str) -> str:
    """A reference to the value that `step` returned as `name`; unlike the step's id it survives a rerun."""
    return f"${{{step}.parameters.return/{name}}}"


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{name}: a whole number or {PER_MODEL!r} is needed, not {text!r}") from error


def _chosen(config: Config, text: str) -> tuple[ModelEntry, ...]:
    """The entries that `text` names, by name or by position from 0, each once."""
    names = [entry.name for entry in config.models]
    chosen = [names[int(word)] if word.isdigit() and int(word) < len(names) else word for word in words(text)]
    unknown = [word for word in chosen if word not in names]
    if unknown or not chosen:
        what = f"no entry {', '.join(unknown)}" if unknown else "none is named"
        raise ConfigError(f"models: {what}; the entries are: {', '.join(names)} (or their positions from 0)")
    return tuple(config.model(name) for name in dict.fromkeys(chosen))
