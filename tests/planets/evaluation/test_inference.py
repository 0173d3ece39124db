import numpy as np
import pytest
import torch
from support.synthetic import make_labels, make_pixels
from torch import nn

from planets.evaluation.inference import predict_scores, predict_views
from planets.training.augment import turn
from planets.training.model import create

MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)
PIXELS = make_pixels(make_labels(40))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = create("test_resnet", 17, drop_rate=0.5)
    network.train()
    return network


def plainly(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    images = torch.from_numpy(((pixels / 255 - MEAN) / STD).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = network.eval()(images).double().numpy()
    return 1 / (1 + np.exp(-logits))


def test_scores_are_sigmoids_of_normalized_unchanged_chips(network: nn.Module) -> None:
    """No augmentation, no dropout, no logits."""
    scores = predict_scores(network, PIXELS, MEAN, STD)
    assert scores.dtype == np.float32
    assert scores.shape == (40, 17)
    np.testing.assert_allclose(scores, plainly(network, PIXELS), atol=1e-5)


def test_rows_choose_and_order(network: nn.Module) -> None:
    rows = np.array([7, 3, 3, 39])
    scores = predict_scores(network, PIXELS, MEAN, STD, rows)
    np.testing.assert_allclose(scores, plainly(network, PIXELS[rows]), atol=1e-5)


def test_scores_do_not_depend_on_the_place_in_the_batches(network: nn.Module) -> None:
    """The last batch of 8 is filled up: each chip is in a batch of 16 wherever it stands."""
    order = np.random.default_rng(0).permutation(40)
    straight = predict_scores(network, PIXELS, MEAN, STD, batch_size=16)
    shuffled = predict_scores(network, PIXELS, MEAN, STD, order, batch_size=16)
    np.testing.assert_array_equal(shuffled, straight[order])


def test_few_chips_are_not_filled_up(network: nn.Module) -> None:
    seen: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    predict_scores(network, PIXELS[:3], MEAN, STD, batch_size=16)
    assert seen == [3]


def test_no_chips(network: nn.Module) -> None:
    with pytest.raises(ValueError, match="no chips"):
        predict_scores(network, PIXELS[:0], MEAN, STD)


def turned(pixels: np.ndarray, element: int) -> np.ndarray:
    return turn(torch.from_numpy(pixels), torch.full((len(pixels),), element)).numpy()


class TestViews:
    def test_are_scored_one_by_one(self, network: nn.Module) -> None:
        views = predict_views(network, PIXELS, MEAN, STD, batch_size=16)
        assert views.shape == (8, 40, 17)
        for element in range(8):
            alone = predict_scores(network, turned(PIXELS, element), MEAN, STD, batch_size=16)
            np.testing.assert_array_equal(views[element], alone)

    def test_their_mean_is_the_augmented_score(self, network: nn.Module) -> None:
        views = predict_views(network, PIXELS, MEAN, STD)
        mean = predict_scores(network, PIXELS, MEAN, STD, tta=True)
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean, views.mean(axis=0), atol=1e-6)
        assert np.abs(mean - views[0]).max() > 1e-4

    @pytest.mark.parametrize("element", range(1, 8))
    def test_augmented_scores_do_not_depend_on_orientation(self, network: nn.Module, element: int) -> None:
        straight = predict_scores(network, PIXELS, MEAN, STD, tta=True)
        other = predict_scores(network, turned(PIXELS, element), MEAN, STD, tta=True)
        np.testing.assert_allclose(other, straight, rtol=0, atol=1e-6)
