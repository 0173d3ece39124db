"""The pictures that go with one evaluation, drawn and saved."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from planets.chips.store import ChipStore
from planets.evaluation.evaluation import Evaluation
from planets.plots.errors import errors_figure, mistakes_figure
from planets.plots.evaluation import calibration_figure, history_figure, label_figure, precision_recall_figure
from planets.plots.palette import save
from planets.training.trained_model import TrainedModel


def save_figures(
    folder: Path, name: str, evaluation: Evaluation, store: ChipStore, fitted: TrainedModel | None = None
) -> dict[str, Path]:
    """Draw the figures of the model `name` into `folder`, and return the file of each by its title.

    Args:
        folder: made if it is not there.
        name: of the model, for the headlines.
        evaluation: what is drawn, of its test part.
        store: the chips that the evaluation saw.
        fitted: whose history is drawn; None: there is none, as of an ensemble.
    """
    figures = _figures(name, evaluation, store)
    if fitted is not None:
        figures["history"] = history_figure(fitted.history, fitted.best_epoch, f"{name}: training")
    folder.mkdir(parents=True, exist_ok=True)
    files = {title: folder / f"{title}.png" for title in figures}
    for title, figure in figures.items():
        save(figure, files[title])
    return files


def _figures(name: str, evaluation: Evaluation, store: ChipStore) -> dict[str, Figure]:
    test, labels = evaluation.test, evaluation.labels
    calibrated = test.probabilities if evaluation.decision.calibration else None
    said = test.targets, test.predictions, labels
    return {
        "labels": label_figure(evaluation.report["test"], f"{name}: F2 of each label"),
        "precision_recall": precision_recall_figure(
            test.targets, test.scores, test.predictions, labels, f"{name}: precision over recall"
        ),
        "calibration": calibration_figure(
            test.targets, test.scores, calibrated, f"{name}: are the scores probabilities?"
        ),
        "errors": errors_figure(*said, f"{name}: errors that come together"),
        "mistakes": mistakes_figure(store.pixels, test.rows, *said, f"{name}: furthest from the truth"),
    }
