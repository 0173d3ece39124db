import json

import numpy as np
import pytest
from support.synthetic import make_labels

from planets.config.project import EvaluationSettings
from planets.evaluation.refinements import Refinements, choose_refinements, cross_fit, fit_decision, half_mask
from planets.evaluation.scores import SplitScores
from planets.labels import Group
from planets.metrics.f2 import f2_score
from planets.synthetic.labels import LABELS, PLANETS

COUNT = 400
TARGETS = make_labels(COUNT)
SETTINGS = EvaluationSettings(tta="auto", weather_rule="auto", ensemble=False)


def noisy(spread: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, spread, TARGETS.shape)
    return (1 / (1 + np.exp(-(3.0 * TARGETS - 1.5 + noise)))).astype(np.float32)


def part(plain: np.ndarray, augmented: np.ndarray | None = None, count: int = COUNT) -> SplitScores:
    return SplitScores(
        np.arange(count), TARGETS[:count], plain[:count], None if augmented is None else augmented[:count]
    )


def settings(**changes: str) -> EvaluationSettings:
    return EvaluationSettings.model_validate(SETTINGS.model_dump() | changes)


def test_what_helps_is_kept_and_what_hurts_is_not() -> None:
    """Augmented scores with less noise help; the weather rule hurts: these chips have several weathers."""
    on, trials = choose_refinements(part(noisy(2), noisy(1)), LABELS, PLANETS.groups, SETTINGS, seed=0)
    by_name = {trial.name: trial for trial in trials}
    assert list(by_name) == list(Refinements._fields)
    assert on.tta
    assert not on.weather_rule
    assert by_name["tta"].gain.better
    assert by_name["tta"].f2[1] - by_name["tta"].f2[0] == pytest.approx(by_name["tta"].gain.difference)
    assert by_name["weather_rule"].gain.difference < 0


def test_more_noise_is_not_kept() -> None:
    on, _ = choose_refinements(part(noisy(1), noisy(2)), LABELS, PLANETS.groups, SETTINGS, seed=0)
    assert not on.tta


def test_one_label_of_each_group_is_kept_where_chips_have_one() -> None:
    """Labels of one group, one a chip, as in folders named for their labels."""
    labels = tuple(f"class-{number}" for number in range(17))
    groups = (Group(name="class", labels=labels),)
    targets = np.eye(17, dtype=np.uint8)[np.arange(COUNT) % 17]
    noise = np.random.default_rng(0).normal(0, 1, targets.shape)
    scores = (1 / (1 + np.exp(-(3.0 * targets - 1.5 + noise)))).astype(np.float32)
    single = SplitScores(np.arange(COUNT), targets, scores, None)
    on, _ = choose_refinements(single, labels, groups, settings(tta="never"), seed=0)
    assert on.weather_rule


def test_settings_overrule_the_measurement_which_is_still_reported() -> None:
    asked = settings(tta="always", weather_rule="always")
    on, trials = choose_refinements(part(noisy(1), noisy(2)), LABELS, PLANETS.groups, asked, seed=0)
    assert on == Refinements(tta=True, weather_rule=True)
    assert [(trial.name, trial.kept) for trial in trials] == [("tta", True), ("weather_rule", True)]
    assert trials[0].gain.difference < 0


def test_few_chips_decide_nothing() -> None:
    on, trials = choose_refinements(
        part(noisy(2), noisy(0.1), 12), LABELS, PLANETS.groups, settings(weather_rule="always"), seed=0
    )
    assert on == Refinements(weather_rule=True)
    assert trials == ()


def test_the_decision_that_is_fitted_has_what_was_chosen() -> None:
    whole = part(noisy(2), noisy(1))
    decision = fit_decision(Refinements(tta=True, weather_rule=True), whole, LABELS, PLANETS.groups)
    assert (decision.tta, decision.groups) == (True, PLANETS.groups)
    plain = fit_decision(Refinements(), whole, LABELS, PLANETS.groups)
    predictions = plain.predict(plain.probabilities([whole.plain]))
    assert f2_score(TARGETS, predictions) > f2_score(TARGETS, whole.plain >= 0.5)


def test_trials_are_json_and_one_line_each() -> None:
    _, trials = choose_refinements(part(noisy(2)), LABELS, PLANETS.groups, settings(tta="never"), seed=0)
    for trial in trials:
        document = json.loads(json.dumps(trial.document()))
        assert set(document["gain"]) == {"difference", "low", "high", "p"}
        assert f"{trial.name}: f2 {trial.gain.difference:+.4f}" in str(trial)


def test_each_label_is_in_both_halves_about_as_often() -> None:
    targets = make_labels(400)
    half = half_mask(targets, seed=3)
    assert abs(half.sum() - 200) <= 8
    counts = targets[half].sum(0, dtype=int), targets[~half].sum(0, dtype=int)
    assert np.abs(np.subtract(*counts))[-6:].max() <= 2, "the rarest labels first"


def test_the_seed_decides() -> None:
    targets = make_labels(100)
    np.testing.assert_array_equal(half_mask(targets, 5), half_mask(targets, 5))
    assert (half_mask(targets, 5) != half_mask(targets, 6)).any()


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_no_half_is_empty(rows: int) -> None:
    assert 0 < half_mask(make_labels(rows), 0).sum() < rows


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="two rows"):
        half_mask([[1, 0]], seed=0)


def test_each_half_is_predicted_from_the_other() -> None:
    values, half = np.arange(6), np.array([True, False, True, True, False, False])
    rows, mean = cross_fit(half, lambda fit, predict: (values[predict], np.full(3, values[fit].mean())))
    np.testing.assert_array_equal(rows, values)
    np.testing.assert_allclose(mean, np.where(half, values[~half].mean(), values[half].mean()))


def test_without_groups_there_is_no_rule_to_try() -> None:
    asked = settings(tta="never", weather_rule="always")
    on, trials = choose_refinements(part(noisy(2)), LABELS, (), asked, seed=0)
    assert not on.weather_rule
    assert "weather_rule" not in [trial.name for trial in trials]
