"""The one pass of a trained network over the chips that judge it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planets.chips.store import ChipStore
from planets.evaluation import EvaluationError
from planets.evaluation.inference import predict_turns
from planets.evaluation.scores import PARTS, ModelScores, PartScores
from planets.evaluation.tta import TURNS, mean_of_turns
from planets.labels import LABELS
from planets.training.model import restore
from planets.training.trained_model import TrainedModel


def score_parts(
    fitted: TrainedModel, store: ChipStore, labels: NDArray[np.uint8], parts: NDArray[np.str_], tta: bool
) -> ModelScores:
    """Score valid and test by a trained network.

    Args:
        fitted: the network.
        store: the chips, at `fitted.image_size`.
        labels: 0/1 of shape `(N, 17)`, rows as in `store`, columns as in `LABELS`.
        parts: "train", "valid" or "test" for each row.
        tta: score the turned chips as well, which takes 8 times as long.

    Raises:
        EvaluationError: the network was made for other labels or another size of chips.
    """
    _require_fit(fitted, store)
    # The columns of the targets are brought into the order of the model's outputs, never the other way round.
    targets = labels[:, [LABELS.index(label) for label in fitted.labels]]
    network = restore(fitted.architecture, len(fitted.labels), fitted.image_size, fitted.weights)
    scored = {}
    for part in PARTS:
        rows = np.flatnonzero(parts == part)
        turns = predict_turns(network, store.pixels, fitted.mean, fitted.std, rows, turns=TURNS if tta else 1)
        turned = mean_of_turns(turns) if tta else None
        scored[part] = PartScores(rows, targets[rows], turns[0], turned)
    return ModelScores(fitted.labels, **scored)


def _require_fit(fitted: TrainedModel, store: ChipStore) -> None:
    if sorted(fitted.labels) != sorted(LABELS):
        raise EvaluationError(f"the model is for the labels {', '.join(fitted.labels)}; train it on ours")
    if store.size != fitted.image_size:
        raise EvaluationError(f"the model is for {fitted.image_size} px, the chips are {store.size} px")
