"""The validated form of `configs/project.yaml`: all settings of a run, checked before anything starts.

Every field has its value in YAML; a model here declares its type, range and meaning.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from planets.config import Fraction, Settings
from planets.config.training import ModelEntry, TrainingSettings, fan_out
from planets.labels import LabelSet

SHORTEST_NAME = 3
"""Characters that ClearML's server demands of the names of projects, tasks and models."""

Queue = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


def _checked_name(name: str) -> str:
    if name != name.strip(" /") or "//" in name or not name.isprintable():
        raise ValueError(
            f"{name!r} is no name for ClearML: no control characters, no //, no space or slash at an end"
        )
    return name


ClearMLName = Annotated[str, AfterValidator(_checked_name)]
"""Any letters, `%`, `#`, quotes and parentheses included."""

PublishRule = Literal["better", "higher", "always"]

ENSEMBLE = "ensemble"
"""Name of the candidate that averages all trained models."""

Refinement = Literal["auto", "always", "never"]
"""`auto` keeps a refinement only if it improves F2 on validation chips that it was not fitted on."""


class ClearMLNames(Settings):
    """Names in ClearML, and the storage of artifacts."""

    project: ClearMLName = Field(
        min_length=SHORTEST_NAME, description="project of the runs, steps and models"
    )
    pipeline: ClearMLName = Field(
        min_length=SHORTEST_NAME, description="name of the pipeline within the project"
    )
    dataset: ClearMLName = Field(min_length=SHORTEST_NAME, description="name of the registered dataset")
    output_uri: str = Field(
        pattern=r"^$|^(s3|gs|azure|https?|file)://.+",
        description="storage of artifacts: s3://bucket/folder, gs://, azure://; empty for the file server",
    )


class Queues(Settings):
    """The queue of each kind of work; the controller needs one of its own."""

    controller: Queue = Field(description="queue of the runs' controllers; no step may use it")
    data: Queue = Field(description="queue of ingest, register, split and select")
    train: Queue = Field(description="queue of the trainings")
    evaluate: Queue = Field(description="queue of the evaluations and the ensemble")

    @model_validator(mode="after")
    def _controller_alone(self) -> "Queues":
        if self.controller in {self.data, self.train, self.evaluate}:
            raise ValueError(
                f"the controller's queue {self.controller!r} must serve no step, or runs block themselves"
            )
        return self

    def names(self) -> list[str]:
        """Return every queue of a run once, in the order of use."""
        return list(dict.fromkeys([self.controller, self.data, self.train, self.evaluate]))


class SampleSource(Settings):
    """The synthetic sample, drawn when `dataset.source` is `sample`."""

    chips: int = Field(ge=50, description="number of chips to draw")
    seed: int = Field(ge=0, description="seed of the drawing")


class DatasetSource(Settings):
    """The source of the chips."""

    source: Literal["sample", "local", "kaggle"] = Field(
        description="the synthetic sample, a local folder, or a download from Kaggle"
    )
    path: str = Field(
        description="folder in the Kaggle layout, or with a folder of pictures per label, for source `local`"
    )
    kaggle: str = Field(
        pattern=r"^[\w-]+/[\w.-]+$", description="owner/dataset on Kaggle, for source `kaggle`"
    )
    labels: LabelSet = Field(
        description="file of the label set, relative to configs/ or absolute; `auto` takes the labels of a "
        "local folder and writes the file `labels/<folder>.yaml`"
    )
    max_bad_fraction: Fraction = Field(
        description="largest fraction of missing or unreadable chips; more stop the run"
    )
    sample: SampleSource

    @model_validator(mode="after")
    def _local_has_a_path(self) -> "DatasetSource":
        if self.source == "local" and not self.path:
            raise ValueError(
                "source `local` needs `path`, the folder of the chips (DATASET_PATH=/some/folder)"
            )
        return self


class SplitSettings(Settings):
    """Sizes of the splits; chips in neither validation nor test are for training."""

    valid: Fraction = Field(
        gt=0,
        description="fraction of the validation split, which selects checkpoints, fits decisions and ranks "
        "models; its scores do not pay for the choice of the epoch",
    )
    test: Fraction = Field(
        gt=0, description="fraction of the test split, scored once at the end; it decides nothing"
    )
    seed: int = Field(ge=0, description="seed of the split; equal seeds split equal chips equally")

    @model_validator(mode="after")
    def _leaves_a_train_split(self) -> "SplitSettings":
        if self.valid + self.test >= 0.9:
            raise ValueError(
                f"valid {self.valid} + test {self.test} leave less than a tenth of the chips to train on"
            )
        return self


class EvaluationSettings(Settings):
    """Refinements of the predictions of trained models, and the ensemble."""

    tta: Refinement = Field(
        description="test-time augmentation: average the scores of the 8 flips and rotations of a chip, "
        "at 8 times the cost"
    )
    weather_rule: Refinement = Field(
        description="keep exactly one label of each group of the label set, such as the weather, and no "
        "other label beside one that stands alone; not tried without groups"
    )
    ensemble: bool = Field(description="evaluate the average of all trained models as another candidate")


class PublishSettings(Settings):
    """The condition under which a run's best model is published."""

    when: PublishRule = Field(
        description="validation F2 compared with the published best on the same chips: `better`, "
        "significantly higher; `higher`, by any amount; `always`, unconditionally"
    )


class NotifySettings(Settings):
    """Notifications about failed runs and newly published models."""

    webhook: str = Field(
        description="URL that receives a JSON document by POST; it never travels with a run: the "
        "controller's worker reads $PLANETS_WEBHOOK, .env.local or configs/project.yaml"
    )


class StackSettings(Settings):
    """The local stack: the embedded server, and the agents that `up` starts on this machine."""

    host: str = Field(description="address that the embedded server listens on")
    api_port: int = Field(ge=0, le=65535, description="port of the API and the page; 0 for any free port")
    files_port: int = Field(ge=0, le=65535, description="port of the file server; 0 for any free port")
    page_host: str = Field(
        description="host name of the page; empty for a private name below localhost that no other program of"
        " this machine knows, or `127.0.0.1` for a browser that cannot resolve such names"
    )
    public_url: str = Field(
        description="address of API and page behind a TLS proxy, such as `https://clearml.example.com`;"
        " empty without a proxy"
    )
    public_files_url: str = Field(
        description="address of the file server behind that proxy, such as `https://files.example.com`"
    )
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
        description="GB of GPU memory per worker; 80 applies each entry's `training_80gb`"
    )
    weights: str = Field(
        description="folder with `<architecture>.safetensors`, for machines without access to timm's hub"
    )
    evaluation: EvaluationSettings
    publish: PublishSettings
    notify: NotifySettings
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    stack: StackSettings

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        names = [entry.name for entry in self.models]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"model names must be unique; repeated: {', '.join(repeated)}")
        if ENSEMBLE in names:
            raise ValueError(f"no model may be named {ENSEMBLE!r}: that name is reserved for the ensemble")
        return self

    def model(self, name: str) -> ModelEntry:
        """Return the entry of this name. Raises KeyError if there is none."""
        for entry in self.models:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def training_of(self, name: str, **overrides: Any) -> TrainingSettings:
        """Return the training settings of an entry: the project's, then the entry's, then `overrides`."""
        return TrainingSettings.model_validate(self._merged(name, overrides))

    def trainings_of(self, name: str, **overrides: Any) -> dict[str, TrainingSettings]:
        """Return the trainings of an entry, in which any setting may be a list, by name; see `fan_out`."""
        return fan_out(name, self._merged(name, overrides))

    def _merged(self, name: str, overrides: dict[str, Any]) -> dict[str, Any]:
        entry = self.model(name)
        large = entry.training_80gb if self.gpu_memory == 80 else {}
        return self.training.model_dump() | entry.training | large | overrides

    def weights_of(self, entry: ModelEntry) -> str:
        """Return `weights` of an entry, or the project's folder if a pretrained entry names none."""
        if entry.weights or not (entry.pretrained and self.weights):
            return entry.weights
        return str(Path(self.weights).expanduser().absolute())
