"""What `output/best` is: a model that can be used anywhere, with all that its predictions depend on.

model.safetensors   the weights
bundle.json         labels in their order, thresholds, preprocessing, origin: `BundleInfo`
metrics.json        the full report of the evaluation
figures/            pictures of it, if there are any
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from planets.decoding import DECODER, RESIZER, decode, resize
from planets.errors import ArchiveError, BundleError
from planets.fitted import Fitted
from planets.labels import decode as decode_labels
from planets.model import restore
from planets.predict import BATCH_SIZE, predict_scores
from planets.thresholds import apply_thresholds

WEIGHTS, INFO, METRICS, FIGURES = "model.safetensors", "bundle.json", "metrics.json", "figures"

Channels = tuple[float, float, float]


class BundleInfo(BaseModel):
    """The content of `bundle.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    name: str = Field(description="entry of models.yaml")
    architecture: str = Field(description="timm's name of the network")
    labels: tuple[str, ...] = Field(min_length=1, description="what the outputs stand for, in their order")
    thresholds: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="a label is where its score >= this"
    )
    image_size: int = Field(ge=1, description="pixels a side")
    mean: Channels
    std: Channels
    decoder: str = Field(description="how files become pixels")
    resizer: str = Field(description="how pixels get the image size")
    batch_size: int = Field(ge=1, description="chips at a time when the scores below were computed")
    dataset_id: str
    content_hash: str = Field(description="of the dataset's content")
    split_seed: int
    code_version: str
    licence: str = Field(description="of the pretrained weights, or `none`")
    scores: dict[str, float] = Field(
        description="what the report says in short: valid_f2, test_f2 and others"
    )
    libraries: dict[str, str] = Field(description="versions that it was made with")
    weights_sha256: str

    @model_validator(mode="after")
    def _one_threshold_per_label(self) -> Self:
        if len(self.thresholds) != len(self.labels) or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"{len(self.labels)} distinct labels need as many thresholds")
        return self


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle in memory."""

    info: BundleInfo
    weights: dict[str, Tensor]
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        fitted: Fitted,
        thresholds: NDArray[np.float64],
        metrics: Mapping[str, Any],
        scores: Mapping[str, float],
        **origin: Any,
    ) -> Bundle:
        """Put a bundle together.

        Args:
            fitted: the trained model.
            thresholds: shape `(L,)`, in the order of `fitted.labels`.
            metrics: the full report, for `metrics.json`.
            scores: the report in short.
            origin: `name`, `dataset_id`, `content_hash`, `split_seed`, `code_version` and `licence`.
        """
        info = BundleInfo(
            architecture=fitted.architecture,
            labels=fitted.labels,
            thresholds=tuple(np.asarray(thresholds).tolist()),
            image_size=fitted.image_size,
            mean=fitted.mean,
            std=fitted.std,
            decoder=DECODER,
            resizer=RESIZER,
            batch_size=BATCH_SIZE,
            scores=dict(scores),
            libraries={name: version(name) for name in ("numpy", "pillow", "timm", "torch")},
            weights_sha256=hashlib.sha256(save(fitted.weights)).hexdigest(),
            **origin,
        )
        return cls(info, fitted.weights, metrics)

    def save(self, folder: Path) -> None:
        """Write the bundle to `folder`, over an older one; `bundle.json` comes last, as its seal."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).write_bytes(save(self.weights))
        (folder / METRICS).write_text(json.dumps(self.metrics, indent=2) + "\n", encoding="utf-8")
        (folder / INFO).write_text(self.info.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle; needs no network, and nothing of the training.

        Raises:
            BundleError: a file is missing or broken, the weights are those of another bundle or of another
                network, or the chips would be read in another way than the bundle was made with.
        """
        info = _read_info(folder / INFO)
        bundle = cls(info, _read_weights(folder / WEIGHTS, info), _read_json(folder / METRICS))
        bundle.network  # noqa: B018  whether the weights fit is told now, not at the first prediction
        return bundle

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode."""
        info = self.info
        return restore(info.architecture, len(info.labels), info.image_size, self.weights)

    def scores(self, pixels: NDArray[np.uint8], rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the probabilities of the labels on chips, float32 `(N, L)`.

        Args:
            pixels: uint8 of shape `(N, size, size, 3)`, of the bundle's image size.
            rows: which of them, in which order; None: all.

        Raises:
            BundleError: the chips are of another size.
            ValueError: there are none.
        """
        size = self.info.image_size
        if pixels.shape[1:] != (size, size, 3):
            raise BundleError(
                f"chips of {size}x{size} pixels are needed, not {pixels.shape[1:]}; resize them"
            )
        info = self.info
        return predict_scores(self.network, pixels, info.mean, info.std, rows, info.batch_size)

    def tags(self, scores: NDArray[np.float32]) -> list[list[str]]:
        """Return the tags of each row of scores `(N, L)`, by the bundle's thresholds and order of labels."""
        predictions = apply_thresholds(scores, self.info.thresholds)
        return [decode_labels(row, self.info.labels) for row in predictions]

    def predict(self, images: Sequence[bytes | Path]) -> tuple[NDArray[np.float32], list[list[str]]]:
        """Return the probabilities `(N, L)` and the tags of JPEG files, given by path or by content.

        Raises:
            ArchiveError: a file is missing or is no JPEG picture; the message names it.
        """
        if not images:
            return np.zeros((0, len(self.info.labels)), dtype=np.float32), []
        scores = self.scores(np.stack([_read_chip(image, self.info.image_size) for image in images]))
        return scores, self.tags(scores)


def _read_chip(image: bytes | Path, size: int) -> NDArray[np.uint8]:
    if isinstance(image, bytes):
        return resize(decode(image), size)
    try:
        return resize(decode(image.read_bytes()), size)
    except (ArchiveError, OSError) as error:
        raise ArchiveError(f"{image}: {error}") from error


def _read_info(file: Path) -> BundleInfo:
    try:
        info = BundleInfo.model_validate(_read_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise BundleError(f"{file}, {where}: {first['msg']}; make the bundle again") from error
    for what, made, here in (("decoder", info.decoder, DECODER), ("resizer", info.resizer, RESIZER)):
        if made != here:
            raise BundleError(f"{file}, {what}: made with {made!r}, this version has {here!r}; train again")
    return info


def _read_weights(file: Path, info: BundleInfo) -> dict[str, Tensor]:
    try:
        if hashlib.sha256(file.read_bytes()).hexdigest() != info.weights_sha256:
            raise BundleError(f"{file} is not the file that {INFO} was written for; copy the bundle again")
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error
