"""One network of a bundle, run by ONNX Runtime: nothing here needs torch."""

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
from planets.evaluation.tta import TURNS, mean_of_turns, turned
from planets.system import usable_cores

INPUT, OUTPUT = "chips", "logits"
"""The graph's input, uint8 `(N, size, size, 3)` as chips are decoded, and its output, float32 `(N, L)`."""

_ERRORS_ONLY = 3

_UNUSABLE = (
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NotImplemented,
    faults.RuntimeException,
)
"""What ONNX Runtime raises on a graph that it cannot open; there is no common base."""


@dataclass(frozen=True, eq=False)
class OnnxMember:
    """A network as a session of ONNX Runtime; `folder` is the bundle's, where its files are."""

    info: MemberInfo
    folder: Path
    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path, info: MemberInfo, labels: int) -> OnnxMember:
        """Open the graph of the member `info` of the bundle in `folder`; a reader for `Bundle.load`.

        Raises:
            BundleError: the file is missing, broken, of another bundle or of a network with other outputs.
        """
        session = open_session(read_member(folder, info.onnx_file, info.onnx_sha256))
        outputs = session.get_outputs()[0].shape[-1]
        if outputs != labels:
            raise BundleError(
                f"{folder / info.onnx_file} gives {outputs} scores, not {labels}; export it anew"
            )
        return cls(info, folder, session)

    def save(self, folder: Path) -> None:
        """Copy its files, as they are, into the folder of another bundle."""
        for file in (self.info.file, self.info.onnx_file):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / file, folder / file)

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores of chips of its image size, float32 `(N, L)`, as `predict_scores` does by torch.

        Raises:
            ValueError: there are no chips.
        """
        return session_scores(self.session, pixels, tta, batch_size)


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """Open a graph on the processor, on as many threads as there are usable cores.

    Raises:
        BundleError: it is no graph, or one that this version of ONNX Runtime cannot run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _UNUSABLE as error:
        raise BundleError(
            f"ONNX Runtime {onnxruntime.__version__} cannot open the graph ({error}); use the version of "
            "onnxruntime that is named in bundle.json, or a newer one"
        ) from error


def session_scores(
    session: onnxruntime.InferenceSession, pixels: NDArray[np.uint8], tta: bool, batch_size: int
) -> NDArray[np.float32]:
    """Return the sigmoid of a graph's logits on chips `(N, size, size, 3)`, float32 `(N, L)`, 0 to 1.

    Where there is more than one batch the last is filled up, so that a chip's scores do not depend on its
    place.

    Args:
        session: what `open_session` returned.
        pixels: the chips.
        tta: average over the 8 turns of each chip, which takes 8 times as long.
        batch_size: chips at a time.

    Raises:
        ValueError: there are no chips.
    """
    if not len(pixels):
        raise ValueError("no chips are given")
    turns = range(TURNS if tta else 1)
    logits = [
        np.stack([session.run([OUTPUT], {INPUT: turned(batch, turn)})[0] for turn in turns])
        for batch in (_batch(pixels, start, batch_size) for start in range(0, len(pixels), batch_size))
    ]
    return mean_of_turns(_sigmoid(np.concatenate(logits, axis=1)[:, : len(pixels)]))


def _batch(pixels: NDArray[np.uint8], start: int, size: int) -> NDArray[np.uint8]:
    chips = pixels[start : start + size]
    missing = size - len(chips) if start else 0
    return np.pad(chips, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else chips


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # In float64 the last bits of float32 are right; beyond +-700, where exp overflows, it is 0 or 1 anyway.
    odds = logits.astype(np.float64).clip(-700, 700)
    chance: NDArray[np.float32] = (1 / (1 + np.exp(-odds))).astype(np.float32)
    return chance
