"""The pictures that go with one evaluation, drawn and saved."""

from __future__ import annotations

from pathlib import Path

from planets.chips import ChipStore
from planets.evaluation import Evaluation
from planets.figures import (
    calibration_figure,
    history_figure,
    label_figure,
    mistakes_figure,
    precision_recall_figure,
)
from planets.fitted import Fitted
from planets.palette import save


def save_figures(
    folder: Path, name: str, evaluation: Evaluation, fitted: Fitted, store: ChipStore
) -> dict[str, Path]:
    """Draw the figures of the model `name` into `folder`, and return the file of each by its title.

    Args:
        folder: made if it is not there.
        name: of the model, for the headlines.
        evaluation: what is drawn, of its test part.
        fitted: whose history is drawn.
        store: the chips that the evaluation saw.
    """
    test, labels = evaluation.test, evaluation.labels
    figures = {
        "labels": label_figure(evaluation.report["test"], f"{name}: F2 of each label"),
        "precision_recall": precision_recall_figure(
            test.targets, test.scores, test.predictions, labels, f"{name}: precision over recall"
        ),
        "calibration": calibration_figure(
            test.targets, test.scores, f"{name}: are the scores probabilities?"
        ),
        "history": history_figure(fitted.history, fitted.best_epoch, f"{name}: training"),
        "mistakes": mistakes_figure(
            store.pixels[test.rows],
            test.targets,
            test.predictions,
            labels,
            f"{name}: furthest from the truth",
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    files = {title: folder / f"{title}.png" for title in figures}
    for title, figure in figures.items():
        save(figure, files[title])
    return files
