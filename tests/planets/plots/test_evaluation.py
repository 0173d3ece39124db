from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support.synthetic import SETTINGS, make_labels, make_parts, make_pixels, make_store

from planets.config.project import EvaluationSettings
from planets.evaluation.evaluation import evaluate
from planets.evaluation.scores import ModelScores, SplitScores
from planets.labels import LabelSet
from planets.metrics.f2 import summary
from planets.plots.errors import errors_figure, mistakes_figure
from planets.plots.evaluation import (
    calibration_figure,
    history_figure,
    label_figure,
    precision_recall_figure,
    save_figures,
)
from planets.plots.palette import save
from planets.plots.training import batch_figure, label_histogram, save_training_figures
from planets.synthetic.labels import LABELS

TARGETS = make_labels(50)
TARGETS[:, 16] = 0  # a label that no chip carries
CHIPS, ROWS = make_pixels(TARGETS, size=16), np.arange(50)
SCORES = np.clip(0.25 + 0.5 * TARGETS + np.random.default_rng(0).normal(0, 0.2, TARGETS.shape), 0, 1).astype(
    "f4"
)
PREDICTIONS = (SCORES >= 0.4).astype(np.uint8)
REPORT = summary(TARGETS, SCORES, PREDICTIONS, [0.4] * 17, LABELS)


def history(epochs: int) -> list[dict[str, float]]:
    keys = ("train_loss", "valid_loss", "valid_f2_at_0.2", "valid_map")
    return [{"epoch": epoch + 1.0, **dict.fromkeys(keys, 0.5 + 0.01 * epoch)} for epoch in range(epochs)]


FIGURES: dict[str, Callable[[], Figure]] = {
    "labels": lambda: label_figure(REPORT),
    "curves": lambda: precision_recall_figure(TARGETS, SCORES, PREDICTIONS, LABELS),
    "calibration": lambda: calibration_figure(TARGETS, SCORES),
    "calibration of scores of 0 and 1": lambda: calibration_figure(TARGETS, TARGETS.astype(np.float32)),
    "errors": lambda: errors_figure(TARGETS, PREDICTIONS, LABELS),
    "no errors": lambda: errors_figure(TARGETS, TARGETS, LABELS),
    "mistakes": lambda: mistakes_figure(CHIPS, ROWS, TARGETS, PREDICTIONS, LABELS),
    "few mistakes": lambda: mistakes_figure(CHIPS, ROWS[:2], TARGETS[:2], PREDICTIONS[:2], LABELS),
    "history": lambda: history_figure(history(12), best_epoch=9),
    "history of one epoch": lambda: history_figure(history(1), best_epoch=1),
    "batch": lambda: batch_figure(CHIPS[:20], TARGETS[:20], LABELS),
    "label histogram": lambda: label_histogram(TARGETS, make_parts(50), LABELS),
}


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


@pytest.mark.parametrize("name", FIGURES)
def test_draws_something(name: str, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    file = save(FIGURES[name](), tmp_path / "figures" / "picture.png")
    pixels = np.asarray(Image.open(file).convert("L"))
    assert min(pixels.shape) > 300
    assert (pixels < 200).mean() > 0.005
    assert dict(mpl.rcParams) == before


def test_every_label_is_named_with_its_support() -> None:
    text = words(label_figure(REPORT))
    for label, row in REPORT["per_label"].items():
        assert f"{label}  ({row['support']:,})" in text
    assert f"{REPORT['f2']:.4f}" in text


def test_curves_show_average_precision_or_that_no_chip_is_positive() -> None:
    text = words(precision_recall_figure(TARGETS, SCORES, PREDICTIONS, LABELS))
    assert f"{REPORT['per_label']['clear']['ap']:.2f}" in text
    assert "no positive chip" in text


def test_mistakes_show_the_lowest_f2_and_name_the_errors() -> None:
    predictions = TARGETS.copy()
    predictions[7] = 1 - predictions[7]
    text = words(mistakes_figure(CHIPS, ROWS, TARGETS, predictions, LABELS, count=1))
    assert "0.00" in text
    for label, true in zip(LABELS, TARGETS[7], strict=True):
        assert f"{'-' if true else '+'} {label}" in text


def test_a_training_shows_its_data(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"mixup": 0.5})
    files = save_training_figures(
        tmp_path, "tiny", make_store(TARGETS), TARGETS, LABELS, make_parts(50), settings
    )
    assert list(files) == ["batch", "labels"]
    assert all(np.asarray(Image.open(file)).shape[1] > 800 for file in files.values())


def test_errors_are_counted_in_pairs() -> None:
    """Haze taken for clear on three chips, with a road missed on two of them."""
    targets, predictions = (np.zeros((5, 17), dtype=np.uint8) for _ in "ab")
    clear, haze, road = (LABELS.index(label) for label in ("clear", "haze", "road"))
    targets[:3, haze], predictions[:3, clear], targets[:2, road] = 1, 1, 1
    left, right = errors_figure(targets, predictions, LABELS).axes
    numbers = [{(t.get_position(), t.get_text()) for t in axes.texts} for axes in (left, right)]
    assert numbers[0] == {((haze, road), "2")}
    assert numbers[1] == {((clear, haze), "3"), ((clear, road), "2")}
    assert "in total 5 labels are missed and 3 false" in words(errors_figure(targets, predictions, LABELS))


def test_calibration_shows_its_error() -> None:
    assert "calibration error" in words(calibration_figure(TARGETS, SCORES))


def test_the_figures_of_an_evaluation_name_the_labels_as_its_label_set_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelSet(labels=("red", "blue", "blank"), titles={"blank": "nothing at all"})
    targets = TARGETS[:, :3]
    scores = SplitScores(ROWS, targets, SCORES[:, :3], None)
    names = ("tta", "weather_rule")
    settings = EvaluationSettings.model_validate(dict.fromkeys(names, "never") | {"ensemble": False})
    evaluation = evaluate([ModelScores(labels.labels, scores, scores)], settings)
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr("planets.plots.evaluation.save", lambda figure, file: drawn.update({file: figure}))
    save_figures(tmp_path, "tiny", evaluation, labels, make_store(TARGETS))
    text = " ".join(map(words, drawn.values()))
    assert "nothing at all" in text
    assert not any(label in text for label in (*LABELS, "blank"))
