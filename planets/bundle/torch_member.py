"""One network of a bundle, run by torch, and its export to ONNX."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from planets.bundle import BundleError
from planets.bundle.manifest import MemberInfo, read_member
from planets.bundle.onnx_member import INPUT, OUTPUT, open_session, session_scores
from planets.chips import Channels
from planets.errors import PlanetsError
from planets.evaluation.inference import predict_scores
from planets.training import TrainingError
from planets.training.augment import affine
from planets.training.model import restore
from planets.training.trained_model import TrainedModel

VERIFIED_CHIPS = 32
"""Chips enough to verify a graph against its network."""

TOLERANCE = 1e-4
"""Largest difference allowed between a probability by the graph and by the network.

The order of additions alone makes 1e-5 in float32: EfficientNet-Lite0, fine-tuned from ImageNet, has that.
"""


class ExportError(PlanetsError):
    """A network cannot be exported to ONNX, or its graph scores chips differently."""


@dataclass(frozen=True, eq=False)
class TorchMember:
    """A network with its weights; `graph` is the same network as ONNX, `labels` its number of outputs."""

    info: MemberInfo
    weights: dict[str, Tensor]
    graph: bytes
    labels: int

    @classmethod
    def create(
        cls, model: TrainedModel, name: str, weights_license: str, chips: NDArray[np.uint8]
    ) -> TorchMember:
        """Export a trained network and make a member of it.

        Args:
            model: the trained network.
            name: entry of models.yaml.
            weights_license: license of the pretrained weights.
            chips: a few chips to verify the graph with, uint8 `(N, size, size, 3)`.

        Raises:
            ExportError: the network cannot be exported, or the graph disagrees with it.
        """
        network = restore(model.architecture, len(model.labels), model.image_size, model.weights)
        graph = export_onnx(network, model.mean, model.std, chips)
        info = MemberInfo(
            name=name,
            architecture=model.architecture,
            image_size=model.image_size,
            mean=model.mean,
            std=model.std,
            license=weights_license,
            weights_sha256=hashlib.sha256(save(model.weights)).hexdigest(),
            onnx_sha256=hashlib.sha256(graph).hexdigest(),
        )
        return cls(info, model.weights, graph, len(model.labels))

    @classmethod
    def load(cls, folder: Path, info: MemberInfo, labels: int) -> TorchMember:
        """Read the files of the member `info` of the bundle in `folder`.

        Raises:
            BundleError: a file is missing, damaged, or belongs to another bundle or network.
        """
        graph = read_member(folder, info.onnx_file, info.onnx_sha256)
        try:
            weights = load(read_member(folder, info.file, info.weights_sha256))
        except SafetensorError as error:
            raise BundleError(
                f"{folder / info.file} is not a safetensors file ({error}); copy the bundle again"
            ) from error
        member = cls(info, weights, graph, labels)
        try:
            member.network  # noqa: B018  weights that do not fit fail here, not at the first prediction
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
        """Network with its weights, in evaluation mode."""
        info = self.info
        return restore(info.architecture, self.labels, info.image_size, self.weights)

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores of chips of its image size, float32 `(N, L)`; see `predict_scores`."""
        info = self.info
        return predict_scores(self.network, pixels, info.mean, info.std, batch_size=batch_size, tta=tta)


def export_onnx(network: nn.Module, mean: Channels, std: Channels, chips: NDArray[np.uint8]) -> bytes:
    """Export a network as an ONNX graph, and verify that both score `chips` alike.

    Input and output are those of `onnx_member`; the number of chips is free, their size is fixed. The graph
    normalizes the pixels itself, so no caller can do it differently. It holds no path of this machine: the
    same network gives the same bytes anywhere.

    Args:
        network: returns logits `(B, L)`; put in evaluation mode, on the CPU, its activations out of place.
        mean: per-channel mean of the normalization, in the scale of 0 to 1.
        std: per-channel standard deviation, likewise.
        chips: real chips to compare on, at least 2, uint8 `(N, size, size, 3)`.

    Raises:
        ExportError: the network cannot be exported, or a score differs by `TOLERANCE` or more.
    """
    network = network.cpu().eval()
    for module in network.modules():
        # The exporter decomposes activations that work in place into symbolic arithmetic, for twice the time.
        if hasattr(module, "inplace"):
            vars(module)["inplace"] = False
    whole = _NormalizedNetwork(network, mean, std).eval()
    graph = _to_onnx(whole, torch.from_numpy(np.ascontiguousarray(chips[:2])))
    by_torch = predict_scores(network, chips, mean, std, device="cpu")
    by_onnx = session_scores(open_session(graph), chips, tta=False, batch_size=len(chips))
    difference = float(np.abs(by_torch - by_onnx).max())
    if not difference < TOLERANCE:  # not `>=`: a NaN must fail, too
        raise ExportError(
            f"{type(network).__name__}: probabilities by ONNX Runtime differ from torch's by "
            f"{difference:.1e} on {len(chips)} chips, more than {TOLERANCE:.0e}; try other versions "
            "of torch, onnxscript and onnxruntime, or another architecture"
        )
    return graph


class _NormalizedNetwork(nn.Module):
    """A network preceded by the normalization of `augment.normalize`."""

    def __init__(self, network: nn.Module, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.network = network
        for name, values in zip(("scale", "shift"), affine(mean, std), strict=True):
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, chips: Tensor) -> Tensor:
        scale, shift = cast(Tensor, self.scale), cast(Tensor, self.shift)
        images = (chips.to(torch.float32) * scale + shift).permute(0, 3, 1, 2)
        return cast(Tensor, self.network(images))


def _to_onnx(whole: _NormalizedNetwork, chips: Tensor) -> bytes:
    free: Any = {0: torch.export.Dim("count")}
    try:
        program = torch.onnx.export(
            whole,
            (chips,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"chips": free},
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"{type(whole.network).__name__} cannot be exported to ONNX ({reason}); choose another "
            "architecture, or other versions of torch and onnxscript"
        ) from error
    model = cast(Any, program).model_proto
    # The exporter annotates every node and value with stack traces: source lines and paths of this machine.
    graph = model.graph
    values = *graph.input, *graph.output, *graph.value_info, *graph.initializer
    for item in (model, graph, *graph.node, *values):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    return cast(bytes, model.SerializeToString())
