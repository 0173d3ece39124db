"""The validated form of `configs/`: what a run is made of, checked before anything starts.

Every field has its value in YAML; a model here declares its type, its range and what it means.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from planets.config.base import Fraction, Settings
from planets.config.evaluation import ENSEMBLE, EvaluationSettings
from planets.config.publish import NotifySettings, PublishSettings
from planets.config.training import ModelEntry, TrainingSettings

Queue = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class ClearMLNames(Settings):
    """What things are called in ClearML."""

    project: str = Field(min_length=1, description="project that holds runs, steps and models")
    pipeline: str = Field(min_length=1, description="name of the pipeline within the project")
    dataset: str = Field(min_length=1, description="name of the registered dataset")
    output_uri: str = Field(
        pattern=r"^$|^(s3|gs|azure|https?|file)://.+",
        description="where steps store data: s3://bucket/folder, gs://, azure://; empty: the file server",
    )


class Queues(Settings):
    """Which queue each kind of work waits on; the controller needs one of its own."""

    controller: Queue = Field(description="runs wait here; never a queue that steps use")
    data: Queue = Field(description="ingest, register, split and select")
    train: Queue = Field(description="one training per model entry")
    evaluate: Queue = Field(description="the evaluations and the ensemble")

    @model_validator(mode="after")
    def _controller_alone(self) -> "Queues":
        if self.controller in {self.data, self.train, self.evaluate}:
            raise ValueError(
                f"the controller's queue {self.controller!r} must serve no step, or runs block themselves"
            )
        return self

    def names(self) -> list[str]:
        """Every queue that a run uses, once, in the order of use."""
        return list(dict.fromkeys([self.controller, self.data, self.train, self.evaluate]))


class SampleSource(Settings):
    """The synthetic sample, made when `dataset.source` is `sample`."""

    chips: int = Field(ge=50, description="pictures to draw")
    seed: int = Field(ge=0, description="another seed draws other pictures")


class DatasetSource(Settings):
    """Where the chips come from."""

    source: Literal["sample", "local", "kaggle"] = Field(
        description="the synthetic sample, a folder, or a download from Kaggle"
    )
    path: str = Field(description="folder in the Kaggle layout, for source `local`")
    kaggle: str = Field(
        pattern=r"^[\w-]+/[\w.-]+$", description="owner/dataset on Kaggle, for source `kaggle`"
    )
    max_bad_fraction: Fraction = Field(description="more missing or unreadable chips than this stop the run")
    sample: SampleSource

    @model_validator(mode="after")
    def _local_has_a_path(self) -> "DatasetSource":
        if self.source == "local" and not self.path:
            raise ValueError(
                "source `local` needs `path`, a folder in the Kaggle layout (DATASET_PATH=/some/folder)"
            )
        return self


class SplitSettings(Settings):
    """How chips are divided; what is not valid or test is train."""

    valid: Fraction = Field(gt=0, description="share on which everything is chosen and fitted")
    test: Fraction = Field(gt=0, description="share that is looked at once, at the end")
    seed: int = Field(ge=0, description="the same seed divides the same chips in the same way")

    @model_validator(mode="after")
    def _leaves_a_train_part(self) -> "SplitSettings":
        if self.valid + self.test >= 0.9:
            raise ValueError(
                f"valid {self.valid} + test {self.test} leave less than a tenth of the chips to train on"
            )
        return self


class StackSettings(Settings):
    """The local stack: the embedded server and the agents that `up` starts on this machine."""

    host: str = Field(description="address that the embedded server listens on")
    api_port: int = Field(ge=0, le=65535, description="API and page; 0 for any free port")
    files_port: int = Field(ge=0, le=65535, description="file server; 0 for any free port")
    worker_timeout: int = Field(ge=5, description="seconds of silence after which a worker counts as lost")
    workers: dict[Queue, Annotated[int, Field(ge=0, le=64)]] = Field(description="agents per queue")


class Config(Settings):
    """All settings of a run."""

    clearml: ClearMLNames
    queues: Queues
    dataset: DatasetSource
    split: SplitSettings
    training: TrainingSettings
    gpu_memory: Literal[16, 80] = Field(
        description="GB of a worker's GPU that the model entries are fitted to"
    )
    weights: str = Field(
        description="folder with `<architecture>.safetensors` for machines without timm's hub"
    )
    evaluation: EvaluationSettings
    publish: PublishSettings
    notify: NotifySettings
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    stack: StackSettings

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        names = [entry.name for entry in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"model names must be unique; twice: {', '.join(twice)}")
        if ENSEMBLE in names:
            raise ValueError(
                f"no model may be called {ENSEMBLE!r}: that is what all of them together are called"
            )
        return self

    def model(self, name: str) -> ModelEntry:
        """The entry called `name`. Raises KeyError for a name that no entry has."""
        return next(entry for entry in self.models if entry.name == name)

    def training_of(self, name: str, **overrides: Any) -> TrainingSettings:
        """The project's training settings, changed by those of the entry `name`, changed by `overrides`."""
        entry = self.model(name)
        large = entry.training_80gb if self.gpu_memory == 80 else {}
        merged = self.training.model_dump() | entry.training | large | overrides
        return TrainingSettings.model_validate(merged)

    def weights_of(self, name: str) -> str:
        """Where the pretrained weights of the entry `name` lie; empty: in timm's hub, or there are none."""
        entry = self.model(name)
        return entry.weights or (self.weights if entry.pretrained else "")


CONFIGS = Path(__file__).resolve().parents[2] / "configs"
"""Folder of the YAML files, in the checkout that this package was installed from."""
