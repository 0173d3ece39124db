"""Inference by torch, one code path for validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from planets.chips import Channels
from planets.chips.store import ChipStore
from planets.evaluation import EvaluationError
from planets.evaluation.scores import (
    BATCH_SIZE,
    EVALUATED_SPLITS,
    TTA_VIEWS,
    ModelScores,
    SplitScores,
    mean_over_views,
    padded_batches,
)
from planets.system import ProgressLines, Say, chip_count
from planets.training.augment import normalize, turn
from planets.training.model import restore
from planets.training.trained_model import TrainedModel


def score_model(
    model: TrainedModel,
    store: ChipStore,
    labels: NDArray[np.uint8],
    names: Sequence[str],
    splits: NDArray[np.str_],
    tta: bool,
    say: Say | None = None,
) -> ModelScores:
    """Score validation and test with a trained network.

    Args:
        model: the trained network.
        store: the chips, at `model.image_size`.
        labels: 0/1 of shape `(N, L)`, rows as in `store`, columns as in `names`.
        names: the L labels; the result's columns are in the order of the network's outputs.
        splits: "train", "valid" or "test" of each row, shape `(N,)`.
        tta: score the dihedral views as well, which takes 8 times as long.
        say: receives progress lines; None prints nothing.

    Raises:
        EvaluationError: the network has other labels, or another image size.
    """
    _require_match(model, store, names)
    # The targets' columns follow the order of the model's outputs, never the other way round.
    targets = labels[:, [names.index(label) for label in model.labels]]
    network = restore(model.architecture, len(model.labels), model.image_size, model.weights)
    scores = {}
    for split in EVALUATED_SPLITS:
        rows = np.flatnonzero(splits == split)
        by_view = predict_views(
            network,
            store.pixels,
            model.mean,
            model.std,
            rows,
            views=TTA_VIEWS if tta else 1,
            progress=ProgressLines(f"scoring {split}", len(rows), say, chip_count) if say else None,
        )
        augmented = mean_over_views(by_view) if tta else None
        scores[split] = SplitScores(rows, targets[rows], by_view[0], augmented)
    return ModelScores(model.labels, **scores)


def _require_match(model: TrainedModel, store: ChipStore, names: Sequence[str]) -> None:
    if sorted(model.labels) != sorted(names):
        raise EvaluationError(
            f"the model predicts {', '.join(model.labels)}, not the labels of these chips; train it again"
        )
    if store.size != model.image_size:
        raise EvaluationError(
            f"the model takes chips of {model.image_size} px, the chips are {store.size} px"
        )


def predict_scores(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    mean: Channels,
    std: Channels,
    rows: NDArray[np.int64] | None = None,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device | None = None,
    tta: bool = False,
) -> NDArray[np.float32]:
    """Return the probability of every label on every chip.

    Args:
        network: returns logits `(B, L)`; put in evaluation mode, and left on `device`.
        pixels: uint8 of shape `(N, size, size, 3)`, such as a store's.
        mean: per-channel mean of the normalization, in the scale of 0 to 1.
        std: per-channel standard deviation, likewise.
        rows: indices into `pixels`, in the order of the result; None: all.
        batch_size: chips per forward pass.
        device: None: the GPU if there is one.
        tta: average over the 8 dihedral views of each chip, which takes 8 times as long and makes a chip's
            score independent of its orientation.

    Returns:
        Sigmoid of the logits, float32 of shape `(len(rows), L)`, 0 to 1.

    Raises:
        ValueError: there are no chips.
    """
    views = TTA_VIEWS if tta else 1
    return mean_over_views(predict_views(network, pixels, mean, std, rows, batch_size, device, views))


def predict_views(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    mean: Channels,
    std: Channels,
    rows: NDArray[np.int64] | None = None,
    batch_size: int = BATCH_SIZE,
    device: str | torch.device | None = None,
    views: int = TTA_VIEWS,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Return the scores of `predict_scores` for each of the first `views` views, `(views, len(rows), L)`.

    Each chip travels to the device once and is flipped there. Everything is computed in float32, without
    TF32. `progress` is called after each batch with the number of chips that are done.
    """
    selected = np.arange(len(pixels)) if rows is None else rows
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network.eval().to(device).to(memory_format=torch.channels_last)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        logits = []
        for batch in padded_batches(pixels, selected, batch_size):
            views_of_batch = _views(torch.from_numpy(batch).to(device), views)
            by_view = [network(normalize(view, mean, std)).float() for view in views_of_batch]
            logits.append(torch.stack(by_view).cpu())
            if progress:
                progress(min(len(logits) * batch_size, len(selected)))
    # The vectorised float32 sigmoid rounds an array's remainder differently; float64 hides that.
    return np.asarray(torch.cat(logits, dim=1)[:, : len(selected)].double().sigmoid().float())


def _views(chips: Tensor, count: int) -> Iterator[Tensor]:
    for element in range(count):
        yield turn(chips, torch.full((len(chips),), element, device=chips.device)) if element else chips
