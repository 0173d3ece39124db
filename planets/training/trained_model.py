"""The result of a training: the best weights and all that is needed to use them, in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from planets.chips import Channels
from planets.system import atomic_write
from planets.training import TrainingError

HEADER = "planets"
"""Key of the description in the metadata of a trained model's file."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The result of one training.

    Attributes:
        weights: state of the network after the best epoch, float32 on the CPU; averaged if the training
            averages weights.
        architecture: timm's name of the network.
        labels: labels of the logits, in order.
        image_size: pixels a side.
        mean: mean of each channel that normalizes images, on a scale of 0 to 1.
        std: standard deviation, likewise.
        metric: the validation score that chose the epoch: `f2_at_0.2`, `map` or `loss`.
        score: its value in that epoch.
        best_epoch: that epoch, from 1.
        history: for each epoch run, `epoch`, `train_loss`, `valid_loss`, `valid_f2_at_0.2`, `valid_map`,
            `lr`, `chips_per_second` (training alone) and `seconds` (all of the epoch); on a GPU also
            `gpu_memory_gb`, the most that tensors took.
    """

    weights: dict[str, Tensor]
    architecture: str
    labels: tuple[str, ...]
    image_size: int
    mean: Channels
    std: Channels
    metric: str
    score: float
    best_epoch: int
    history: list[dict[str, float]]

    def description(self) -> dict[str, Any]:
        """Return everything but the weights, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)[1:]}

    def save(self, file: Path) -> None:
        """Write weights and description to one safetensors file, whole or not at all."""
        with atomic_write(file) as partial:
            save_file(self.weights, partial, metadata={HEADER: json.dumps(self.description())})

    @classmethod
    def load(cls, file: Path) -> TrainedModel:
        """Read a file that `save` wrote.

        Raises:
            TrainingError: the file is missing, broken or was not written by a training of this project.
        """
        try:
            with safe_open(file, framework="pt") as opened:
                header = json.loads((opened.metadata() or {})[HEADER])
                weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            header |= {key: tuple(header[key]) for key in ("labels", "mean", "std")}
            return cls(weights=weights, **{field.name: header[field.name] for field in fields(cls)[1:]})
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{file} holds no trained model ({error!r}); train it again") from error
