"""The judgement of one trained model: thresholds from valid, F2 out of sample, test looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planets.chips import ChipStore
from planets.errors import BundleError
from planets.fitted import Fitted
from planets.labels import LABELS, decode
from planets.metrics import best_constant, summary
from planets.model import restore
from planets.predict import predict_scores
from planets.thresholds import apply_thresholds, cross_fit_predictions, fit_thresholds


@dataclass(frozen=True, eq=False)
class Judged:
    """Targets, scores and predictions of one part: `(N, L)` each, columns in the order of the model's labels.

    Attributes:
        rows: int64 of shape `(N,)`, where the chips are in the store.
        targets: uint8, 0 or 1.
        scores: float32, 0 to 1.
        predictions: uint8, 0 or 1.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.uint8]
    scores: NDArray[np.float32]
    predictions: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation finds.

    Attributes:
        labels: the order of all columns.
        thresholds: float64 of shape `(L,)`, fitted on all of valid.
        valid: predicted with thresholds fitted on its other half, so that its F2 is out of sample.
        test: predicted with `thresholds`.
        report: for JSON: `valid` and `test` (see `metrics.summary`), and `constant`, the best prediction that
            looks at no chip, fitted on valid: `tags` and its F2 on `test`.
    """

    labels: tuple[str, ...]
    thresholds: NDArray[np.float64]
    valid: Judged
    test: Judged
    report: dict[str, Any]

    @property
    def scores(self) -> dict[str, float]:
        """The report in short."""
        parts = (("valid", self.report["valid"]), ("test", self.report["test"]))
        return {f"{part}_{name}": report[name] for part, report in parts for name in ("f2", "map")}


def evaluate(
    fitted: Fitted, store: ChipStore, labels: NDArray[np.uint8], parts: NDArray[np.str_], seed: int = 0
) -> Evaluation:
    """Judge a trained model on the valid and the test part.

    Args:
        fitted: the model.
        store: the chips, at `fitted.image_size`.
        labels: 0/1 of shape `(N, 17)`, rows as in `store`, columns as in `LABELS`.
        parts: "train", "valid" or "test" for each row.
        seed: of the halves of valid and of the bootstrap.

    Raises:
        BundleError: the model was made for other labels or another size of chips.
    """
    _require_fit(fitted, store)
    # The columns of the targets are brought into the order of the model's outputs, never the other way round.
    targets = labels[:, [LABELS.index(label) for label in fitted.labels]]
    rows = {part: np.flatnonzero(parts == part) for part in ("valid", "test")}
    network = restore(fitted.architecture, len(fitted.labels), fitted.image_size, fitted.weights)
    scores = {
        part: predict_scores(network, store.pixels, fitted.mean, fitted.std, chosen)
        for part, chosen in rows.items()
    }
    on_valid = targets[rows["valid"]], scores["valid"]
    thresholds = fit_thresholds(*on_valid)
    predictions = {
        "valid": cross_fit_predictions(*on_valid, seed),
        "test": apply_thresholds(scores["test"], thresholds),
    }
    judged = {part: Judged(rows[part], targets[rows[part]], scores[part], predictions[part]) for part in rows}
    report = _report(judged["valid"], judged["test"], thresholds, fitted.labels, seed)
    return Evaluation(fitted.labels, thresholds, judged["valid"], judged["test"], report)


def _report(
    valid: Judged, test: Judged, thresholds: NDArray[np.float64], labels: tuple[str, ...], seed: int
) -> dict[str, Any]:
    constant, constant_f2 = best_constant(valid.targets, test.targets)
    parts = {
        part: summary(judged.targets, judged.scores, judged.predictions, thresholds, labels, seed)
        for part, judged in (("valid", valid), ("test", test))
    }
    return {**parts, "constant": {"tags": decode(constant, labels), "f2": constant_f2}}


def _require_fit(fitted: Fitted, store: ChipStore) -> None:
    if sorted(fitted.labels) != sorted(LABELS):
        raise BundleError(f"the model is for the labels {', '.join(fitted.labels)}; train it on ours")
    if store.size != fitted.image_size:
        raise BundleError(f"the model is for {fitted.image_size} px, the chips are {store.size} px")
