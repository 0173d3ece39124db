import numpy as np
from support.synthetic import make_labels

from planets.decision.calibration import log_loss
from planets.evaluation.ensemble_weights import choose_shares

TARGETS = make_labels(300)
RANDOM = np.random.default_rng(1)


def network(noise: float) -> np.ndarray:
    """Scores that are off by independent noise of this size."""
    odds = 4.0 * TARGETS - 2 + RANDOM.normal(0, noise, TARGETS.shape)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def test_one_network_is_all_of_it() -> None:
    assert choose_shares(TARGETS, [network(1)]) == (1.0,)


def test_a_bad_network_gets_nothing_and_equal_ones_share() -> None:
    scores = [network(2), network(2), RANDOM.random(TARGETS.shape).astype(np.float32)]
    shares = choose_shares(TARGETS, scores)
    assert shares[2] == 0
    assert abs(sum(shares) - 1) < 1e-12
    assert min(shares[:2]) > 0.3


def test_the_mean_is_no_worse_than_the_best_network() -> None:
    scores = [network(noise) for noise in (1.5, 2, 3)]
    shares = choose_shares(TARGETS, scores)
    mixed = sum(share * given for share, given in zip(shares, scores, strict=True))
    assert log_loss(TARGETS, mixed).mean() <= min(log_loss(TARGETS, given).mean() for given in scores)
