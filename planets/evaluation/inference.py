"""Scores of chips, the same way in validation, in testing and in serving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from planets.chips.stream import Pixels
from planets.evaluation.scores import BATCH_SIZE
from planets.evaluation.tta import TURNS, mean_of_turns
from planets.training.augment import normalise, turn


def predict_scores(
    network: nn.Module,
    pixels: Pixels,
    mean: Sequence[float],
    std: Sequence[float],
    rows: NDArray[np.int64] | None = None,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device | None = None,
    tta: bool = False,
) -> NDArray[np.float32]:
    """Return the probability of every label on every chip.

    Args:
        network: gives logits `(B, L)`; it is put in evaluation mode and stays on `device`.
        pixels: uint8 of shape `(N, size, size, 3)`, such as a store's.
        mean: by which to normalise, of each channel, in the scale of 0 to 1.
        std: likewise.
        rows: which of `pixels`, in which order; None: all.
        batch_size: chips at a time.
        device: where to compute; None: the GPU if there is one.
        tta: average over the 8 turns of each chip, which takes 8 times as long; a chip's score is then the
            same however it is turned.

    Returns:
        Sigmoid of the logits, float32 of shape `(len(rows), L)`, 0 to 1.

    Raises:
        ValueError: there are no chips.
    """
    turns = TURNS if tta else 1
    return mean_of_turns(predict_turns(network, pixels, mean, std, rows, batch_size, device, turns))


def predict_turns(
    network: nn.Module,
    pixels: Pixels,
    mean: Sequence[float],
    std: Sequence[float],
    rows: NDArray[np.int64] | None = None,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device | None = None,
    turns: int = TURNS,
) -> NDArray[np.float32]:
    """Return what `predict_scores` does for each of the first `turns` turns, `(turns, len(rows), L)`.

    Chips travel to the device once, and are turned there. Convolutions of unlike batches differ in the last
    bits. So computation is in float32, without TF32, and where there is more than one batch the last is
    filled up: a chip's scores then do not depend on its place.
    """
    chosen = np.arange(len(pixels)) if rows is None else rows
    if not len(chosen):
        raise ValueError("no chips are given")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network.eval().to(device).to(memory_format=torch.channels_last)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        logits = [
            torch.stack([network(normalise(each, mean, std)).float() for each in _turned(chips, turns)]).cpu()
            for chips in (batch.to(device) for batch in _batches(pixels, chosen, batch_size))
        ]
    # A vectorised sigmoid rounds the last few numbers of an array otherwise; in float64 none of it is left.
    return np.asarray(torch.cat(logits, dim=1)[:, : len(chosen)].double().sigmoid().float())


def _turned(chips: Tensor, turns: int) -> Iterator[Tensor]:
    for element in range(turns):
        yield turn(chips, torch.full((len(chips),), element, device=chips.device)) if element else chips


def _batches(pixels: Pixels, rows: NDArray[np.int64], size: int) -> Iterator[Tensor]:
    for start in range(0, len(rows), size):
        chips = torch.from_numpy(pixels[rows[start : start + size]])
        missing = size - len(chips) if start else 0
        yield torch.cat([chips, chips.new_zeros((missing, *chips.shape[1:]))]) if missing else chips
