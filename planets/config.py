"""The validated form of `configs/`: what a run is made of, checked before anything starts.

Every field has its value in YAML; a model here declares its type, its range and what it means.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=40)]
"""Names become parts of step names, and ClearML allows these characters there."""

ENSEMBLE = "ensemble"
"""The trained models together, as a candidate beside them."""

Queue = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Base of every model here: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClearMLNames(Settings):
    """What things are called in ClearML."""

    project: str = Field(min_length=1, description="project that holds runs, steps and models")
    pipeline: str = Field(min_length=1, description="name of the pipeline within the project")
    dataset: str = Field(min_length=1, description="name of the registered dataset")


class Queues(Settings):
    """Which queue each kind of work waits on; the controller needs one of its own."""

    controller: Queue
    data: Queue = Field(description="ingest, register, split and select")
    train: Queue
    evaluate: Queue

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

    chips: int = Field(ge=50)
    seed: int = Field(ge=0)


class DatasetSource(Settings):
    """Where the chips come from."""

    source: Literal["sample", "local", "kaggle"]
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


PARTS = ("train", "valid", "test")
"""The parts of a split."""


class SplitSettings(Settings):
    """How chips are divided; what is not valid or test is train."""

    valid: Fraction = Field(gt=0)
    test: Fraction = Field(gt=0)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _leaves_a_train_part(self) -> "SplitSettings":
        if self.valid + self.test >= 0.9:
            raise ValueError(
                f"valid {self.valid} + test {self.test} leave less than a tenth of the chips to train on"
            )
        return self


class TrainingSettings(Settings):
    """One training. A model entry may change any of these under `training:`."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    image_size: int = Field(ge=32, le=1024, description="pixels a side of what the network sees")
    seed: int = Field(ge=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: Fraction = Field(
        description="share of all steps in which the learning rate rises; a cosine follows"
    )
    optimizer: str = Field(min_length=1, description="name of one of timm's optimisers, such as adamw")
    layer_decay: float = Field(
        gt=0, le=1, description="factor on the learning rate per layer away from the head; 1 for none"
    )
    freeze_epochs: int = Field(ge=0, description="epochs at the start in which only the head learns")
    accumulate: int = Field(ge=1, description="batches whose gradients are summed up for one step")
    gradient_clip: float = Field(ge=0, description="greatest norm of the gradient; 0 for none")
    loss: Literal["bce", "asymmetric"] = Field(description="cross-entropy, or Ridnik's asymmetric loss")
    label_smoothing: float = Field(ge=0, lt=0.5)
    drop_rate: Fraction = Field(description="dropout before the head")
    drop_path: Fraction = Field(description="stochastic depth, for architectures that have it")
    ema_decay: Fraction = Field(description="decay of the averaged weights that are kept; 0 for none")
    flips: bool = Field(
        description="turn and mirror training chips at random, the 8 ways a square fits itself"
    )
    crop: Fraction = Field(
        description="share of a side that is cut off training chips, at random places; evaluation sees all"
    )
    zoom: Fraction = Field(description="training chips are windows smaller by up to this share, scaled up")
    rotation: float = Field(ge=0, le=45, description="degrees that training chips are turned by, either way")
    jitter: Fraction = Field(description="how far brightness and contrast of training chips vary; 0 for not")
    mixup: float = Field(ge=0, description="alpha of mixup: two chips on top of each other; 0 for none")
    cutmix: float = Field(ge=0, description="alpha of cutmix: one chip in a window of another; 0 for none")
    progressive: Fraction = Field(
        description="share of image_size that training begins with and grows from; 0 for all at once"
    )
    checkpoint_metric: Literal["f2_at_0.2", "map", "loss"] = Field(
        description="validation score that chooses the checkpoint; none of them needs fitted thresholds"
    )
    patience: int = Field(
        ge=0, description="epochs without improvement before the training stops; 0 for never"
    )
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(description="auto: bf16 on a GPU that has it")
    compile: bool = Field(description="compile the network by torch.compile: pays in long trainings on a GPU")
    devices: int = Field(ge=0, description="processes, each with a GPU of the worker; 0 for all its GPUs")


Refinement = Literal["auto", "always", "never"]
"""`auto`: kept if it helps on chips that it was not fitted on, and dropped if not."""


class EvaluationSettings(Settings):
    """What may improve the predictions of trained models, and whether they are averaged."""

    tta: Refinement = Field(description="scores as the mean over the 8 turns of a chip; 8 times the work")
    calibration: Refinement = Field(description="scores made probabilities, by Platt scaling of each label")
    decoding: Refinement = Field(description="the set of greatest expected F2 in place of thresholds")
    weather_rule: Refinement = Field(description="exactly one weather, cloudy alone")
    ensemble: bool = Field(description="the trained models together are one more candidate")


class ModelEntry(Settings):
    """One line of models.yaml: one training of a run."""

    name: Name
    architecture: str = Field(min_length=1, description="name of a timm model")
    pretrained: bool = Field(description="start from timm's pretrained weights")
    weights: str = Field(
        default="", description="file, or folder with <architecture>.safetensors, instead of timm's hub"
    )
    licence: str = Field(min_length=1, description="licence of the pretrained weights, or `none`")
    training: dict[str, Any] = Field(
        default_factory=dict, description="what differs from the project's `training`, on any hardware"
    )
    training_80gb: dict[str, Any] = Field(
        default_factory=dict, description="what differs besides where `gpu_memory` is 80"
    )
    expected: str = Field(
        default="", description="F2 and cost that one may expect: no result of this project"
    )


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
    weights: str = Field(description="folder with <architecture>.safetensors for machines without timm's hub")
    evaluation: EvaluationSettings
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


CONFIGS = Path(__file__).resolve().parent.parent / "configs"
"""Folder of the YAML files, in the checkout that this package was installed from."""
