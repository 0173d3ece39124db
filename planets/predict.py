"""Scores of chips, the same way in validation, in testing and in serving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from planets.augment import normalise
from planets.stream import Pixels

BATCH_SIZE = 64
"""Chips that go through a network together, in evaluation and by default in serving."""


def predict_scores(
    network: nn.Module,
    pixels: Pixels,
    mean: Sequence[float],
    std: Sequence[float],
    rows: NDArray[np.int64] | None = None,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device | None = None,
) -> NDArray[np.float32]:
    """Return the probability of every label on every chip.

    Convolutions of unlike batches differ in the last bits. So computation is in float32, without TF32, and
    where there is more than one batch the last is filled up: a chip's scores then do not depend on its place.

    Args:
        network: gives logits `(B, L)`; it is put in evaluation mode and stays on `device`.
        pixels: uint8 of shape `(N, size, size, 3)`, such as a store's.
        mean: by which to normalise, of each channel, in the scale of 0 to 1.
        std: likewise.
        rows: which of `pixels`, in which order; None: all.
        batch_size: chips at a time.
        device: where to compute; None: the GPU if there is one.

    Returns:
        Sigmoid of the logits, float32 of shape `(len(rows), L)`, 0 to 1.

    Raises:
        ValueError: there are no chips.
    """
    chosen = np.arange(len(pixels)) if rows is None else rows
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network.eval().to(device).to(memory_format=torch.channels_last)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        logits = [
            network(normalise(chips.to(device), mean, std)).float().cpu()
            for chips in _batches(pixels, chosen, batch_size)
        ]
    if not logits:
        raise ValueError("no chips are given")
    return np.asarray(torch.cat(logits)[: len(chosen)].sigmoid())


def _batches(pixels: Pixels, rows: NDArray[np.int64], size: int) -> Iterator[Tensor]:
    for start in range(0, len(rows), size):
        chips = torch.from_numpy(pixels[rows[start : start + size]])
        missing = size - len(chips) if start else 0
        yield torch.cat([chips, chips.new_zeros((missing, *chips.shape[1:]))]) if missing else chips
