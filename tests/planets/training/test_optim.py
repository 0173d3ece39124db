import pytest
import torch
from support.synthetic import SETTINGS
from torch.nn.functional import binary_cross_entropy_with_logits

from planets.training.optim import asymmetric_loss, training_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.3], [-4.0, 5.0, 0.0]])
TARGETS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_has_smoothed_targets(smoothing: float) -> None:
    settings = SETTINGS.model_copy(update={"label_smoothing": smoothing})
    smoothed = TARGETS * (1 - smoothing) + smoothing / 2
    p = LOGITS.sigmoid()
    expected = -(smoothed * p.log() + (1 - smoothed) * (1 - p).log()).mean()
    torch.testing.assert_close(training_loss(LOGITS, TARGETS, settings), expected)


def test_without_focus_and_margin_it_is_cross_entropy() -> None:
    plain = binary_cross_entropy_with_logits(LOGITS, TARGETS)
    torch.testing.assert_close(asymmetric_loss(LOGITS, TARGETS, focus=0.0, margin=0.0), plain)


def test_is_the_formula_of_its_source() -> None:
    p = LOGITS.sigmoid()
    shifted = (p - 0.05).clamp(min=0)
    each = torch.where(TARGETS == 1, p.log(), shifted**4 * (1 - shifted).log())
    settings = SETTINGS.model_copy(update={"loss": "asymmetric"})
    torch.testing.assert_close(training_loss(LOGITS, TARGETS, settings), -each.mean())


def test_easy_negatives_count_nothing_and_hard_ones_do() -> None:
    easy, hard = (asymmetric_loss(torch.tensor([[logit]]), torch.zeros(1, 1)) for logit in (-4.0, 4.0))
    assert easy == 0
    assert hard > 1


@pytest.mark.parametrize("logit", [-100.0, 100.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_sure_networks_have_finite_gradients(logit: float, target: float) -> None:
    given = torch.tensor([[logit]], requires_grad=True)
    asymmetric_loss(given, torch.tensor([[target]])).backward()
    assert torch.isfinite(given.grad).all()
