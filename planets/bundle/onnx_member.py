"""One network of a bundle, run by ONNX Runtime, without torch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from planets.bundle import BundleError
from planets.bundle.manifest import MemberInfo, read_member
from planets.evaluation.scores import TTA_VIEWS, dihedral_view, mean_over_views, padded_batches
from planets.system import thread_count

INPUT, OUTPUT = "chips", "logits"
"""The graph's input, uint8 `(N, size, size, 3)` as chips are decoded, and its output, float32 `(N, L)`."""

_LOG_ERRORS = 3

_LOAD_ERRORS = (
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NotImplemented,
    faults.RuntimeException,
)
"""Exceptions of ONNX Runtime for a graph that it cannot load; they have no common base."""


@dataclass(frozen=True, eq=False)
class OnnxMember:
    """A network as a session of ONNX Runtime; `folder` is the bundle's, with its files."""

    info: MemberInfo
    folder: Path
    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path, info: MemberInfo, labels: int) -> OnnxMember:
        """Open the graph of the member `info` of the bundle in `folder`; a reader for `Bundle.load`.

        Raises:
            BundleError: the file is missing, damaged, belongs to another bundle, or has other outputs.
        """
        session = open_session(read_member(folder, info.onnx_file, info.onnx_sha256))
        outputs = session.get_outputs()[0].shape[-1]
        if outputs != labels:
            raise BundleError(
                f"{folder / info.onnx_file} returns {outputs} scores, not {labels}; export the network again"
            )
        return cls(info, folder, session)

    def save(self, folder: Path) -> None:
        """Copy its files into the folder of another bundle."""
        for file in (self.info.file, self.info.onnx_file):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / file, folder / file)

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores of chips of its image size, float32 `(N, L)`, as `predict_scores` does in torch.

        Raises:
            ValueError: there are no chips.
        """
        return session_scores(self.session, pixels, tta, batch_size)


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """Open a graph on the CPU, with `thread_count()` threads.

    Raises:
        BundleError: it is not a graph, or this version of ONNX Runtime cannot run it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = _LOG_ERRORS
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _LOAD_ERRORS as error:
        raise BundleError(
            f"ONNX Runtime {onnxruntime.__version__} cannot open the graph ({error}); install the version of "
            "onnxruntime that bundle.json names, or a newer one"
        ) from error


def session_scores(
    session: onnxruntime.InferenceSession, pixels: NDArray[np.uint8], tta: bool, batch_size: int
) -> NDArray[np.float32]:
    """Return the sigmoid of a graph's logits on chips `(N, size, size, 3)`, float32 `(N, L)`, 0 to 1.

    Args:
        session: result of `open_session`.
        pixels: the chips.
        tta: average over the 8 dihedral views of each chip, which takes 8 times as long.
        batch_size: chips per forward pass.

    Raises:
        ValueError: there are no chips.
    """
    views = range(TTA_VIEWS if tta else 1)
    logits = [
        np.stack([session.run([OUTPUT], {INPUT: dihedral_view(batch, element)})[0] for element in views])
        for batch in padded_batches(pixels, np.arange(len(pixels)), batch_size)
    ]
    return mean_over_views(_sigmoid(np.concatenate(logits, axis=1)[:, : len(pixels)]))


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # float64 keeps the last bits of float32 right; beyond +-700, where exp overflows, the result is 0 or 1.
    odds = logits.astype(np.float64).clip(-700, 700)
    chance: NDArray[np.float32] = (1 / (1 + np.exp(-odds))).astype(np.float32)
    return chance
