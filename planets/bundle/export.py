"""A trained network as an ONNX graph: chips in, logits out, and nothing else needed to run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from planets.bundle.onnx_member import INPUT, OUTPUT, open_session, session_scores
from planets.errors import PlanetsError
from planets.evaluation.inference import predict_scores
from planets.training.augment import affine

TOLERANCE = 1e-5
"""The most by which a probability by the graph may differ from that by the network."""


class ExportError(PlanetsError):
    """A network cannot be exported to ONNX, or its graph scores chips differently."""


class _Whole(nn.Module):
    """A network with its normalisation, as `augment.normalise` does it."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in zip(("scale", "shift"), affine(mean, std), strict=True):
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, chips: Tensor) -> Tensor:
        scale, shift = cast(Tensor, self.scale), cast(Tensor, self.shift)
        images = (chips.to(torch.float32) * scale + shift).permute(0, 3, 1, 2)
        return cast(Tensor, self.network(images))


def export(
    network: nn.Module, mean: Sequence[float], std: Sequence[float], chips: NDArray[np.uint8]
) -> bytes:
    """Return a network as an ONNX graph, after both have scored `chips` alike.

    Input and output are those that `onnx_member` names; the number of chips is free, their size is not.
    Pixels are normalised within the graph, so that whoever runs it cannot do it otherwise.

    Args:
        network: gives logits `(B, L)`; it is put in evaluation mode, on the processor.
        mean: by which to normalise, of each channel, in the scale of 0 to 1.
        std: likewise.
        chips: a few real ones, at least 2, uint8 `(N, size, size, 3)`: what is compared.

    Raises:
        ExportError: the network cannot be exported, or a score differs by `TOLERANCE` or more.
    """
    network = network.cpu().eval()
    graph = _graph(_Whole(network, mean, std).eval(), torch.from_numpy(np.ascontiguousarray(chips[:2])))
    here = predict_scores(network, chips, mean, std, device="cpu")
    there = session_scores(open_session(graph), chips, tta=False, batch_size=len(chips))
    difference = float(np.abs(here - there).max())
    # A NaN is no small difference.
    if not difference < TOLERANCE:
        raise ExportError(
            f"{type(network).__name__}: probabilities by ONNX Runtime differ from torch's by "
            f"{difference:.1e} on {len(chips)} chips, where {TOLERANCE:.0e} is allowed; try other versions "
            "of torch, onnxscript and onnxruntime, or another architecture"
        )
    return graph


def _graph(whole: _Whole, chips: Tensor) -> bytes:
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
    return cast(bytes, cast(Any, program).model_proto.SerializeToString())
