import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from sklearn.metrics import average_precision_score, fbeta_score, log_loss
from support.synthetic import ENTRY, SETTINGS, make_labels
from torch import nn
from torch.utils.data import DataLoader

from planets.training import TrainingError
from planets.training.model import build_model
from planets.training.module import ChipClassifier, MeanAveragePrecision, SampleF2
from planets.training.optim import learning_rate_factor


class Given(nn.Module):
    """A network whose logits are its input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.scale


def classifier(network: nn.Module | None = None, **changes: object) -> ChipClassifier:
    settings = SETTINGS.model_copy(update=changes)
    return ChipClassifier(network or Given(), settings, total_steps=10, num_labels=17)


def logged(module: ChipClassifier, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    values: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: values.update({name: float(value)}))
    return values


def test_validation_scores_are_those_of_the_whole_split() -> None:
    """The last batch has one chip, so the mean of batch scores is another number; one label is absent."""
    targets = make_labels(17)
    targets[:, 3] = 0
    logits = np.random.default_rng(0).normal(-1, 2, targets.shape).astype(np.float32)
    batches = [
        (torch.from_numpy(logits[rows]), torch.from_numpy(targets[rows]).float())
        for rows in (slice(0, 16), slice(16, 17))
    ]
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        for message in ("No positive samples", "The 'val_dataloader' does not have", "`isinstance"):
            warnings.filterwarnings("ignore", message)
        trainer.validate(classifier(), DataLoader(batches, batch_size=None), verbose=False)
    values = {key: float(value) for key, value in trainer.callback_metrics.items()}
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    present = targets.any(0)
    assert values["valid_loss"] == pytest.approx(log_loss(targets.ravel(), scores.ravel()), rel=1e-5)
    assert values["valid_f2_at_0.2"] == pytest.approx(
        fbeta_score(targets, scores >= 0.2, beta=2, average="samples", zero_division=0)
    )
    assert values["valid_map"] == pytest.approx(
        average_precision_score(targets[:, present], scores[:, present], average="macro"), abs=1e-6
    )


def test_a_probability_at_the_cut_predicts_the_label() -> None:
    metric = SampleF2(0.2)
    metric.update(torch.tensor([[0.2, 0.1]]), torch.tensor([[1, 0]]))
    assert metric.compute() == 1


def test_without_any_label_the_mean_average_precision_is_0() -> None:
    metric = MeanAveragePrecision(2)
    metric.update(torch.tensor([[0.2, 0.1]]), torch.tensor([[0, 0]]))
    with pytest.warns(UserWarning, match="No positive samples"):
        assert metric.compute() == 0


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
    module = classifier(build_model(ENTRY, 17))
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
