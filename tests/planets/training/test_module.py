import numpy as np
import pytest
import torch
from support.synthetic import ENTRY, SETTINGS, make_labels
from torch import nn

from planets.metrics.f2 import f2_score, mean_average_precision
from planets.training import TrainingError
from planets.training.model import build_model
from planets.training.module import ChipClassifier, learning_rate_factor


class Given(nn.Module):
    """A network whose logits are its input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.scale


def classifier(network: nn.Module | None = None, **changes: object) -> ChipClassifier:
    settings = SETTINGS.model_copy(update=changes)
    return ChipClassifier(network or Given(), settings, total_steps=10)


def logged(module: ChipClassifier, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    values: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: values.update({name: float(value)}))
    return values


def test_valid_scores_are_of_the_whole_part_and_of_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uneven batches, the last of one chip: the mean of batch scores is another number."""
    targets = make_labels(17)
    logits = np.random.default_rng(0).normal(-1, 2, targets.shape).astype(np.float32)
    module = classifier()
    values = logged(module, monkeypatch)
    module.on_validation_epoch_start()
    for rows in (slice(0, 16), slice(16, 17)):
        batch = torch.from_numpy(logits[rows]), torch.from_numpy(targets[rows]).float()
        with torch.no_grad():
            module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -(targets * np.log(scores) + (1 - targets) * np.log(1 - scores)).mean()
    assert values["valid_loss"] == pytest.approx(expected, rel=1e-5)
    assert values["valid_f2_at_0.2"] == pytest.approx(f2_score(targets, scores >= 0.2))
    assert values["valid_map"] == pytest.approx(mean_average_precision(targets, scores), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_cross_entropy_with_smoothed_targets(
    smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, targets = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    module = classifier(label_smoothing=smoothing)
    values = logged(module, monkeypatch)
    loss = module.training_step((logits, targets), 0)
    smoothed = torch.tensor([[1 - smoothing / 2, smoothing / 2]])
    p = logits.sigmoid()
    expected = -(smoothed * p.log() + (1 - smoothed) * (1 - p).log()).mean()
    assert loss.item() == pytest.approx(expected.item())
    assert values["train_loss"] == loss.item()


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    with pytest.raises(
        TrainingError, match=r"training loss is nan in epoch 1; lower training\.learning_rate"
    ):
        classifier().training_step((torch.tensor([[torch.nan]]), torch.tensor([[1.0]])), 0)


def test_norms_and_biases_do_not_decay() -> None:
    module = classifier(build_model(ENTRY))
    groups = module.configure_optimizers()["optimizer"].param_groups
    decays = {id(value): group["weight_decay"] for group in groups for value in group["params"]}
    for name, value in module.network.named_parameters():
        assert decays.pop(id(value)) == (0.05 if value.ndim > 1 else 0.0), name
    assert not decays


def test_learning_rate_rises_to_its_value_and_falls_to_nothing() -> None:
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert factors[10] == 1
    assert np.all(np.diff(factors[10:]) < 0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert learning_rate_factor(0, 1, 0.0) == 1


class TestAverage:
    def test_without_one_the_network_itself_is_judged(self) -> None:
        module = classifier()
        assert module.judged is module.network

    def test_lies_between_the_weights_it_has_seen(self) -> None:
        module = classifier(ema_decay=0.9)
        for value in (1.0, 2.0, 3.0):
            with torch.no_grad():
                module.network.scale.fill_(value)
            module._average[0].update(module.network, step=10)
        assert 1 < module.judged.scale.item() < 3
        assert module.judged is not module.network

    def test_does_not_learn(self) -> None:
        module = classifier(ema_decay=0.9)
        assert [name for name, _ in module.named_parameters()] == ["network.scale"]

    def test_is_in_the_checkpoint(self) -> None:
        module, other = classifier(ema_decay=0.9), classifier(ema_decay=0.9)
        with torch.no_grad():
            module.judged.scale.fill_(7.0)
        checkpoint: dict[str, object] = {"global_step": 3}
        module.on_save_checkpoint(checkpoint)
        other.on_load_checkpoint(checkpoint)
        assert other.judged.scale.item() == 7.0
