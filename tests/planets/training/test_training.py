import json
import os
import re
import signal
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import Logger
from safetensors.torch import save_file
from support.synthetic import ENTRY, SETTINGS, make_labels, make_parts, make_store

from planets import system
from planets.chips import Channels
from planets.config import ConfigError
from planets.config.training import ModelEntry
from planets.synthetic.labels import LABELS
from planets.training import TrainingError
from planets.training.trained_model import TrainedModel
from planets.training.trainer import fit, precision_for, world_size

COUNT = 120


def train(
    workdir: Path, resume_from: Path | None = None, entry: ModelEntry = ENTRY, **changes: Any
) -> TrainedModel:
    labels = make_labels(COUNT)
    logger = changes.pop("logger", None)
    size = changes.get("image_size", 32)
    settings = SETTINGS.model_copy(update=changes)
    parts = make_parts(COUNT)
    return fit(entry, settings, make_store(labels, size), labels, LABELS, parts, workdir, logger, resume_from)


def assert_same_weights(one: TrainedModel, other: TrainedModel) -> None:
    assert one.weights.keys() == other.weights.keys()
    for key, value in one.weights.items():
        torch.testing.assert_close(value, other.weights[key], rtol=0, atol=0)


def without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in {"seconds", "chips_per_second"}} for row in history]


class Killed(Exception):
    """Stands for the end of a process."""


class Recorder(Logger):
    """Keeps the rows it gets, and stands for a process that is killed once a checkpoint is written."""

    name = "recorder"
    version = 0

    def __init__(self, kill_after: int | None = None) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self.steps: list[int | None] = []
        self.checkpoints: list[Path] = []
        self.kill_after = kill_after

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(metrics)
        self.steps.append(step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self.checkpoints.append(Path(checkpoint_callback.best_model_path))
        if len(self.checkpoints) == self.kill_after:
            raise Killed


def test_learns_what_can_be_seen(tmp_path: Path) -> None:
    trained = train(tmp_path, epochs=10, batch_size=8, learning_rate=1e-2, checkpoint_metric="loss")
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"] - 0.05
    assert trained.score < trained.history[0]["valid_loss"] - 0.02


def test_says_what_happened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = Recorder()
    trained = train(tmp_path, epochs=3, logger=logger)
    assert logger.steps == [1, 2, 3]
    assert logger.rows == trained.history
    assert logger.checkpoints == [tmp_path / "last.ckpt"] * 3
    assert len(trained.history) == 3
    scores = {"train_loss", "valid_loss", "valid_f2_at_0.2", "valid_map"}
    assert set(trained.history[0]) == scores | {"epoch", "lr", "chips_per_second", "seconds"}
    assert trained.score == max(row["valid_map"] for row in trained.history)
    assert trained.history[trained.best_epoch - 1]["valid_map"] == trained.score
    assert all(row["seconds"] > 0 for row in trained.history)
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 3
    assert "epoch 1/3  loss 0." in out
    assert "chips/s" in out
    assert "left" in out


def test_a_long_epoch_prints_its_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "PROGRESS_SECONDS", 0)
    train(tmp_path, epochs=2, batch_size=8)
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"  epoch 1/2: 8 of \d+ chips \(\d+ %\), [\d,]+ chips/s, 0:\d\d left$", lines[0])
    assert sum("loss" in line for line in lines) == 2


@pytest.mark.parametrize("metric", ["f2_at_0.2", "map", "loss"])
def test_the_metric_chooses_the_epoch(metric: str, tmp_path: Path) -> None:
    trained = train(tmp_path, epochs=4, checkpoint_metric=metric, learning_rate=0.05)
    values = [row[f"valid_{metric}"] for row in trained.history]
    assert trained.score == (min(values) if metric == "loss" else max(values))
    assert trained.best_epoch == values.index(trained.score) + 1


def test_same_seed_same_numbers(plain: TrainedModel, tmp_path: Path) -> None:
    again, other = train(tmp_path / "again"), train(tmp_path / "other", seed=2)
    assert_same_weights(plain, again)
    assert without_times(plain.history) == without_times(again.history)
    assert plain.history[0]["train_loss"] != other.history[0]["train_loss"]


RECIPE = {
    "crop": 0.25,
    "zoom": 0.2,
    "rotation": 10.0,
    "mixup": 0.3,
    "cutmix": 0.5,
    "loss": "asymmetric",
    "optimizer": "lamb",
    "layer_decay": 0.8,
    "freeze_epochs": 1,
    "accumulate": 2,
    "drop_path": 0.1,
    "ema_decay": 0.9,
    "batch_size": 8,
}


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9, "patience": 5}, RECIPE])
def test_a_resumed_training_ends_with_the_same_weights(changes: dict[str, Any], tmp_path: Path) -> None:
    changes = {"drop_rate": 0.2, "epochs": 4} | changes
    whole = train(tmp_path / "whole", **changes)
    with pytest.raises(Killed):
        train(tmp_path / "killed", logger=Recorder(kill_after=2), **changes)
    logger = Recorder()
    resumed = train(
        tmp_path / "other host",
        tmp_path / "killed" / "last.ckpt",
        logger=logger,
        **changes,
    )
    assert logger.steps == [3, 4]
    assert_same_weights(resumed, whole)
    assert without_times(resumed.history) == without_times(whole.history)
    assert (resumed.best_epoch, resumed.score) == (whole.best_epoch, whole.score)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return train(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("changes", [{name: value} for name, value in RECIPE.items()], ids=str)
def test_each_part_of_the_recipe_changes_the_training(
    changes: dict[str, Any], plain: TrainedModel, tmp_path: Path
) -> None:
    changed = train(tmp_path, **changes)
    assert changed.history[-1]["valid_loss"] < 1
    assert without_times(changed.history) != without_times(plain.history)


def test_progressive_training_begins_with_other_images(tmp_path: Path) -> None:
    grown, plain = (train(tmp_path, image_size=64, epochs=1, progressive=share) for share in (0.5, 0.0))
    assert grown.history[0]["train_loss"] != plain.history[0]["train_loss"]


def test_all_of_the_recipe_learns(tmp_path: Path) -> None:
    recipe = RECIPE | {
        "cutmix": 0.0,
        "loss": "bce",
        "optimizer": "adamw",
        "epochs": 12,
        "learning_rate": 1e-2,
    }
    trained = train(tmp_path, checkpoint_metric="loss", **recipe)
    assert trained.score < trained.history[0]["valid_loss"] - 0.02


def test_an_unknown_optimizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no optimizer 'adamvv'.*adam"):
        train(tmp_path, optimizer="adamvv")


def test_a_finished_training_resumes_to_what_it_was(tmp_path: Path) -> None:
    whole = train(tmp_path)
    again = train(tmp_path, tmp_path / "last.ckpt")
    assert_same_weights(again, whole)
    assert again.history == whole.history


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(TrainingError, match=r"learning_rate was 0\.003, is 0\.1"):
        train(tmp_path, tmp_path / "last.ckpt", learning_rate=0.1)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    entry = ENTRY.model_copy(update={"architecture": "test_efficientnet"})
    with pytest.raises(TrainingError, match="test_resnet"):
        train(tmp_path, tmp_path / "last.ckpt", entry=entry)


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"half a check")
    with pytest.raises(TrainingError, match="is no checkpoint"):
        train(tmp_path, tmp_path / "last.ckpt")


def test_patience_ends_a_training_that_stands_still(tmp_path: Path) -> None:
    assert len(train(tmp_path, epochs=10, learning_rate=1e-12, patience=2).history) <= 6


def test_averaged_weights_are_the_ones_that_are_kept(plain: TrainedModel, tmp_path: Path) -> None:
    averaged = train(tmp_path, ema_decay=0.99)
    assert plain.history[0]["train_loss"] == averaged.history[0]["train_loss"]
    assert plain.history[0]["valid_loss"] != averaged.history[0]["valid_loss"]


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"loss is (nan|inf)"):
        train(tmp_path, epochs=4, learning_rate=1e18, gradient_clip=0.0)


def test_chips_of_another_size_are_refused(tmp_path: Path) -> None:
    labels, settings = make_labels(COUNT), SETTINGS.model_copy(update={"image_size": 64})
    with pytest.raises(TrainingError, match=r"32 px and training\.image_size is 64"):
        fit(ENTRY, settings, make_store(labels), labels, LABELS, make_parts(COUNT), tmp_path)


def test_statistics_are_those_of_the_train_part_or_of_the_weights(tmp_path: Path) -> None:
    own = train(tmp_path / "a", epochs=1)
    pixels = make_store(make_labels(COUNT)).pixels[make_parts(COUNT) == "train"] / 255
    np.testing.assert_allclose(own.mean, pixels.mean((0, 1, 2)))
    own.save(tmp_path / "own.safetensors")
    save_file(own.weights, tmp_path / "bare.safetensors")

    def mean_from(file: str) -> Channels:
        entry = ENTRY.model_copy(update={"weights": str(tmp_path / file)})
        return train(tmp_path / f"from {file}", entry=entry, epochs=1).mean

    assert mean_from("own.safetensors") == own.mean
    assert mean_from("bare.safetensors") == (0.5, 0.5, 0.5)  # timm's for the architecture


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has bf16")
def test_a_cpu_never_trains_in_bf16() -> None:
    assert precision_for("auto") == precision_for("32-true") == "32-true"
    with pytest.raises(TrainingError, match="no GPU"):
        precision_for("bf16-mixed")


class TestTrainedModel:
    def test_round_trip(self, tmp_path: Path) -> None:
        trained = train(tmp_path, epochs=1)
        trained.save(tmp_path / "model.safetensors")
        again = TrainedModel.load(tmp_path / "model.safetensors")
        assert_same_weights(again, trained)
        assert again.description() == trained.description()
        assert again.labels == LABELS
        assert json.dumps(trained.description())
        assert [path.suffix for path in tmp_path.iterdir() if "model" in path.name] == [".safetensors"]

    @pytest.mark.parametrize("data", [b"", b"not tensors"])
    def test_broken(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(data)
        with pytest.raises(TrainingError, match="holds no trained model"):
            TrainedModel.load(tmp_path / "model.safetensors")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="nowhere"):
            TrainedModel.load(tmp_path / "nowhere")


@pytest.mark.slow
class TestRanks:
    """Several processes; on a CPU they communicate by gloo."""

    ENTRY = ENTRY.model_copy(update={"architecture": "test_vit"})

    def test_two_end_where_one_does(self, tmp_path: Path) -> None:
        logger = Recorder()
        alone = train(tmp_path / "a", entry=self.ENTRY, freeze_epochs=1, ema_decay=0.9)
        both = train(
            tmp_path / "b",
            entry=self.ENTRY,
            freeze_epochs=1,
            ema_decay=0.9,
            devices=2,
            logger=logger,
        )
        assert logger.rows == both.history
        assert logger.steps == [1, 2]
        assert logger.checkpoints == [tmp_path / "b" / "last.ckpt"] * 2
        for one, other in zip(alone.history, both.history, strict=True):
            for name in ("train_loss", "valid_loss", "valid_map", "valid_f2_at_0.2", "lr"):
                assert one[name] == pytest.approx(other[name], rel=1e-3), name
        for key, value in alone.weights.items():
            torch.testing.assert_close(value, both.weights[key], rtol=1e-2, atol=1e-3)

    def test_what_one_of_them_raises_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"rank \d of the training failed.*no architecture 'vot'"):
            train(tmp_path, entry=ENTRY.model_copy(update={"architecture": "vot"}), devices=2)

    def test_a_killed_rank_ends_the_training_at_once(self, tmp_path: Path) -> None:
        """Rank 0 is stopped, as if it waited for the other one on a GPU, where it would for half an hour."""

        class Killer(Recorder):
            def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
                first, second = sorted(active_children(), key=lambda process: process.pid)
                os.kill(first.pid, signal.SIGSTOP)
                os.kill(second.pid, signal.SIGKILL)

        with pytest.raises(TrainingError, match=r"rank 1 of the training ended early \(SIGKILL\)"):
            train(tmp_path, entry=self.ENTRY, epochs=1000, devices=2, logger=Killer())
        assert not active_children()

    def test_a_batch_must_be_divisible(self) -> None:
        with pytest.raises(TrainingError, match="cannot be divided among 3"):
            world_size(SETTINGS.model_copy(update={"devices": 3}))
        assert world_size(SETTINGS.model_copy(update={"devices": 0})) == max(1, torch.cuda.device_count())
