"""One network of a bundle, run by torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from planets.bundle import BundleError
from planets.bundle.manifest import MemberInfo, read_member
from planets.evaluation.inference import predict_scores
from planets.training import TrainingError
from planets.training.model import restore
from planets.training.trained_model import TrainedModel

COMPARED = 32
"""So many chips are enough to see whether a graph is that of its network."""


@dataclass(frozen=True, eq=False)
class Member:
    """A network with its weights; `graph` is the same as ONNX, `labels` is how many outputs it has."""

    info: MemberInfo
    weights: dict[str, Tensor]
    graph: bytes
    labels: int

    @classmethod
    def of(cls, fitted: TrainedModel, name: str, licence: str, chips: NDArray[np.uint8]) -> Member:
        """Make a member of a trained network, and its ONNX graph.

        Args:
            fitted: the network.
            name: entry of models.yaml.
            licence: of the pretrained weights.
            chips: a few that graph and network must agree on, uint8 `(N, size, size, 3)`.

        Raises:
            ExportError: they do not agree, or there is no graph of such a network.
        """
        from planets.bundle.export import (
            export,  # brings ONNX Runtime, which torch's own predictions do without
        )

        network = restore(fitted.architecture, len(fitted.labels), fitted.image_size, fitted.weights)
        graph = export(network, fitted.mean, fitted.std, chips)
        info = MemberInfo(
            name=name,
            architecture=fitted.architecture,
            image_size=fitted.image_size,
            mean=fitted.mean,
            std=fitted.std,
            license=licence,
            weights_sha256=hashlib.sha256(save(fitted.weights)).hexdigest(),
            onnx_sha256=hashlib.sha256(graph).hexdigest(),
        )
        return cls(info, fitted.weights, graph, len(fitted.labels))

    @classmethod
    def load(cls, folder: Path, info: MemberInfo, labels: int) -> Member:
        """Read the files of the member `info` of the bundle in `folder`.

        Raises:
            BundleError: a file is missing, broken, of another bundle or of another network.
        """
        graph = read_member(folder, info.onnx_file, info.onnx_sha256)
        try:
            weights = load(read_member(folder, info.file, info.weights_sha256))
        except SafetensorError as error:
            raise BundleError(f"{folder / info.file} holds no weights ({error}); make it again") from error
        member = cls(info, weights, graph, labels)
        try:
            member.network  # noqa: B018  weights that do not fit are an error here, not at the first prediction
        except TrainingError as error:
            raise BundleError(f"{folder / info.file}: {error}") from error
        return member

    def save(self, folder: Path) -> None:
        """Write weights and graph into the bundle's `folder`."""
        (folder / self.info.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / self.info.file).write_bytes(save(self.weights))
        (folder / self.info.onnx_file).write_bytes(self.graph)

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode."""
        info = self.info
        return restore(info.architecture, self.labels, info.image_size, self.weights)

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores of chips of its image size, float32 `(N, L)`; see `predict_scores`."""
        info = self.info
        return predict_scores(self.network, pixels, info.mean, info.std, batch_size=batch_size, tta=tta)
