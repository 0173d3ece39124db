"""Training settings, and the entries of models.yaml: one training each, or one per combination of lists."""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from math import prod
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, StringConstraints, model_validator

from planets.commands import command
from planets.config import ConfigError, Fraction, Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$", max_length=100)]
"""Names become parts of step names, where ClearML allows these characters."""

MOST_TRAININGS = 64
"""Trainings of one run: a longer list is more likely a slip than a plan."""

_SHORT = {"batch_size": "batch", "image_size": "px", "learning_rate": "lr", "weight_decay": "wd"}
"""Customary abbreviations in the names of trainings; other settings appear under their own names."""

WeightsKind = Literal["none", "hub", "path", "address", "model"]

_KINDS: dict[str, WeightsKind] = {
    r"": "none",
    r"[0-9a-f]{32}": "model",
    r"\w+": "hub",
    r"(https?|s3|gs|azure)://.+": "address",
}
"""Forms of `ModelEntry.weights`, the first that matches; any other text is a path."""


class TrainingSettings(Settings):
    """One training. A model entry may override any of these under `training:`."""

    epochs: int = Field(ge=1, description="passes over the train split")
    # Runs that an earlier version stored do not have it.
    max_batches: int = Field(
        default=0, ge=0, description="batches of an epoch, to try a change quickly; 0 takes all"
    )
    batch_size: int = Field(ge=1, description="chips per optimizer step, over all devices together")
    image_size: int = Field(ge=32, le=1024, description="side of the network's input, in pixels")
    seed: int = Field(ge=0, description="seed of the weights, the order of the chips and their augmentation")
    learning_rate: float = Field(gt=0, description="peak learning rate, reached after the warmup")
    weight_decay: float = Field(ge=0, description="weight decay of the optimizer")
    warmup: Fraction = Field(
        description="fraction of all steps in which the learning rate rises; cosine decay follows"
    )
    optimizer: str = Field(min_length=1, description="name of a timm optimizer, such as adamw")
    layer_decay: float = Field(
        gt=0, le=1, description="learning-rate factor per layer below the head; 1 disables it"
    )
    freeze_epochs: int = Field(ge=0, description="initial epochs in which only the head is trained")
    accumulate: int = Field(ge=1, description="batches whose gradients are accumulated for one step")
    gradient_clip: float = Field(ge=0, description="maximum gradient norm; 0 disables clipping")
    loss: Literal["bce", "asymmetric"] = Field(
        description="binary cross-entropy, or the asymmetric loss of Ridnik et al."
    )
    label_smoothing: float = Field(
        ge=0, lt=0.5, description="shift of the targets from 0 and 1 towards 0.5; 0 disables it"
    )
    drop_rate: Fraction = Field(description="dropout before the head")
    drop_path: Fraction = Field(description="stochastic depth, for architectures that support it")
    ema_decay: Fraction = Field(
        description="decay of the exponential moving average of the weights; 0 disables it"
    )
    flips: bool = Field(description="augment by the 8 flips and quarter-turn rotations of a square")
    crop: Fraction = Field(
        description="fraction of the side removed by random crops; evaluation sees whole chips"
    )
    zoom: Fraction = Field(description="largest fraction by which a random window is smaller than the chip")
    rotation: float = Field(ge=0, le=45, description="maximum random rotation in degrees, either way")
    jitter: Fraction = Field(description="strength of the brightness and contrast jitter; 0 disables it")
    mixup: float = Field(ge=0, description="alpha of mixup, which blends two chips; 0 disables it")
    cutmix: float = Field(
        ge=0, description="alpha of CutMix, which pastes a window of another chip; 0 disables it"
    )
    progressive: Fraction = Field(
        description="fraction of image_size at which progressive resizing starts; 0 disables it"
    )
    checkpoint_metric: Literal["f2_at_0.2", "map", "loss"] = Field(
        description="validation metric that selects the checkpoint; none of them needs fitted thresholds"
    )
    patience: int = Field(ge=0, description="epochs without improvement before early stopping; 0 disables it")
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        description="auto: bf16 on a GPU that supports it, float32 elsewhere"
    )
    compile: bool = Field(
        description="compile the network with torch.compile; pays off in long GPU trainings"
    )
    devices: int = Field(ge=0, description="GPUs of the worker, one process each; 0 uses all of them")


class ModelEntry(Settings):
    """One entry of models.yaml: one training of a run."""

    name: Name = Field(description="name of the entry; part of its steps' names")
    architecture: str = Field(min_length=1, description="name of a timm model")
    pretrained: bool = Field(description="start from timm's pretrained weights")
    weights: str = Field(
        default="",
        description="pretrained weights other than the architecture's own: a tag of timm, such as "
        "`lvd1689m`; a file, or a folder with `config.json` or with `<architecture>.safetensors`; an address "
        "(https://, s3://, gs://, azure://); or the id of a ClearML model",
    )
    weights_sha256: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        description="SHA-256 of the weights file; a file with another one is refused. Required for an "
        "address. For a file that the command can read it is computed if it is empty",
    )
    license: str = Field(
        min_length=1,
        description="license of the pretrained weights, or `none`",
        # Entries written before the field was renamed are stored in servers and checkpoints.
        validation_alias=AliasChoices("license", "licence"),
    )
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="overrides of the project's `training`, on any hardware; a list of values trains "
        "each of them",
    )
    training_80gb: dict[str, Any] = Field(
        default_factory=dict, description="further overrides where `gpu_memory` is 80"
    )
    expected: str = Field(
        default="", description="expected F2 and cost from published reports, not measured by this project"
    )

    @model_validator(mode="after")
    def _addresses_have_a_digest(self) -> "ModelEntry":
        # The content of an address may change: a cached training could be of other weights.
        if self.weights_kind == "address" and not self.weights_sha256:
            raise ValueError(
                f"weights: {self.weights} needs `weights_sha256`, which `sha256sum FILE` prints for a copy"
            )
        return self

    @property
    def weights_kind(self) -> WeightsKind:
        """Where the pretrained weights come from: `hub` is timm's, `none` a random initialization."""
        if not self.weights and self.pretrained:
            return "hub"
        return next((kind for form, kind in _KINDS.items() if re.fullmatch(form, self.weights)), "path")

    @property
    def timm_name(self) -> str:
        """The architecture with the tag of its weights, if they come from timm's hub."""
        if not self.weights or self.weights_kind != "hub":
            return self.architecture
        return f"{self.architecture.partition('.')[0]}.{self.weights}"


def fan_out(name: str, training: Mapping[str, Any]) -> dict[str, TrainingSettings]:
    """Return the trainings of an entry by name: one for each combination of the values that are lists.

    A training is named for its entry and its own listed values, such as `resnet_lr3e-4_px64`: a value that is
    added to a list leaves the other trainings their names, and thereby their cached results.

    Args:
        name: name of the entry.
        training: complete settings, of which any may be a list of values.

    Raises:
        ConfigError: a list is empty or repeats a value, or there are more than `MOST_TRAININGS` combinations.
        ValidationError: a value is invalid.
    """
    lists = {key: value for key, value in training.items() if isinstance(value, list)}
    require_few(name, prod(len(values) for values in lists.values()))
    trainings: dict[str, TrainingSettings] = {}
    for combination in product(*lists.values()):
        values = dict(zip(lists, combination, strict=True))
        settings = TrainingSettings.model_validate({**training, **values})
        own_name = "_".join([name, *(_word(key, getattr(settings, key)) for key in lists)])
        if own_name in trainings:
            raise ConfigError(f"{name}: {own_name} occurs twice: a list repeats a value")
        trainings[own_name] = settings
    return trainings


def require_few(name: str, trainings: int) -> None:
    """Refuse a number of trainings that no run should have. Raises ConfigError."""
    if not 1 <= trainings <= MOST_TRAININGS:
        raise ConfigError(
            f"{name}: its lists of values make {trainings} trainings, and a run takes 1 to {MOST_TRAININGS}; "
            f"edit the lists, or search a range with `{command('sweep')}`"
        )


def _word(key: str, value: Any) -> str:
    """Return `lr3e-4`, `epochs12` or `loss-bce`: a number without a dot, which ClearML's references use."""
    key = _SHORT.get(key, key)
    if isinstance(value, bool | str):
        return f"{key}-{re.sub('[^a-z0-9_]', '-', str(value).lower())}"
    number = Decimal(str(value)).normalize()
    exponent = int(number.as_tuple().exponent)
    return f"{key}{number:f}" if exponent >= 0 else f"{key}{number.scaleb(-exponent):f}e{exponent}"
