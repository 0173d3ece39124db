"""The settings of a training, and the entries of models.yaml, one training each."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from planets.config.base import Fraction, Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=40)]
"""Names become parts of step names, and ClearML allows these characters there."""


class TrainingSettings(Settings):
    """One training. A model entry may change any of these under `training:`."""

    epochs: int = Field(ge=1, description="passes over the train part")
    batch_size: int = Field(ge=1, description="chips per step, over all devices together")
    image_size: int = Field(ge=32, le=1024, description="pixels a side of what the network sees")
    seed: int = Field(ge=0, description="of the weights, the order of the chips and their changes")
    learning_rate: float = Field(gt=0, description="at its highest, after the warmup")
    weight_decay: float = Field(ge=0, description="as the optimiser understands it")
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
    label_smoothing: float = Field(
        ge=0, lt=0.5, description="how far the targets are drawn from 0 and 1 to the middle; 0 for not"
    )
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


class ModelEntry(Settings):
    """One line of models.yaml: one training of a run."""

    name: Name = Field(description="of the entry, and part of its steps' names")
    architecture: str = Field(min_length=1, description="name of a timm model")
    pretrained: bool = Field(description="start from timm's pretrained weights")
    weights: str = Field(
        default="", description="file, or folder with `<architecture>.safetensors`, instead of timm's hub"
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
