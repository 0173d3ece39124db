import numpy as np
import pytest
import torch
from synthetic import SETTINGS, make_labels, make_parts, make_store

from planets.augment import normalise
from planets.config import TrainingSettings
from planets.data import Batch, Batches, ChipsDataModule, channel_statistics
from planets.errors import TrainingError

MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)


def module(count: int = 100, settings: TrainingSettings = SETTINGS) -> ChipsDataModule:
    labels = make_labels(count)
    return ChipsDataModule(make_store(labels, size=8), labels, make_parts(count), settings, MEAN, STD)


def all_of(batches: Batches) -> Batch:
    chips, targets, _ = zip(*batches, strict=True)
    return Batch(torch.cat(chips), torch.cat(targets), None)


def test_valid_is_every_valid_chip_in_order_and_as_it_is() -> None:
    data = module()
    rows = np.flatnonzero(make_parts(100) == "valid")
    found = all_of(data.val_dataloader())
    np.testing.assert_array_equal(found.chips, data.store.pixels[rows])
    np.testing.assert_array_equal(found.targets, data.labels[rows])
    for batch in data.val_dataloader():
        images, _ = data.on_after_batch_transfer(batch)
        torch.testing.assert_close(images, normalise(batch.chips, MEAN, STD))


def test_train_is_every_train_chip_once_with_its_own_labels() -> None:
    data = module(80)
    rows = np.flatnonzero(make_parts(80) == "train")
    found = all_of(data.train_batches(0))
    assert len(found.chips) == len(rows) == 48
    place = {data.store.pixels[row].tobytes(): row for row in rows}
    order = [place[chip.numpy().tobytes()] for chip in found.chips]
    assert sorted(order) == rows.tolist()
    np.testing.assert_array_equal(found.targets, data.labels[order])


def test_train_is_changed_and_valid_is_not() -> None:
    data = module()
    assert all(batch.changes is not None for batch in data.train_batches(0))
    assert all(batch.changes is None for batch in data.val_dataloader())
    batch = next(iter(data.train_batches(0)))
    assert (data.images(batch) - normalise(batch.chips, MEAN, STD)).abs().max() > 0.5


def test_the_test_part_is_nowhere() -> None:
    data = module()
    test = {data.store.pixels[row].tobytes() for row in np.flatnonzero(make_parts(100) == "test")}
    seen = {
        chip.numpy().tobytes()
        for loader in (data.train_batches(0), data.val_dataloader())
        for chip in all_of(loader).chips
    }
    assert not test & seen


def test_images_and_targets_are_what_a_network_takes() -> None:
    data = module()
    for batch in (next(iter(data.train_batches(0))), next(iter(data.val_dataloader()))):
        images, targets = data.on_after_batch_transfer(batch)
        assert images.dtype == targets.dtype == torch.float32
        assert images.shape == (16, 3, 8, 8)
        assert targets.shape == (16, 17)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_order_and_changes_come_from_seed_and_epoch() -> None:
    data, other = module(), module(settings=SETTINGS.model_copy(update={"seed": 2}))
    first, again = (next(iter(data.train_batches(3))) for _ in range(2))
    torch.testing.assert_close(first, again)
    for batches in (data.train_batches(4), other.train_batches(3)):
        assert not torch.equal(next(iter(batches)).chips, first.chips)


@pytest.mark.parametrize(("count", "batches"), [(5, 1), (16, 1), (17, 1), (33, 2)])
def test_training_drops_an_incomplete_batch_unless_it_is_the_only_one(count: int, batches: int) -> None:
    labels = make_labels(count)
    made = Batches(make_store(labels, 8), labels, np.arange(count), 16, (SETTINGS, 0))
    assert len(made) == len(list(made)) == batches
    assert made.chips == sum(len(batch.chips) for batch in made) == min(count, batches * 16)


def test_validation_drops_nothing() -> None:
    labels = make_labels(33)
    made = Batches(make_store(labels, 8), labels, np.arange(33), 16)
    assert [len(batch.chips) for batch in made] == [16, 16, 1]
    assert len(made) == 3


def test_rows_must_match() -> None:
    labels = make_labels(10)
    with pytest.raises(TrainingError, match="10 chips in the store, 9 rows"):
        ChipsDataModule(make_store(labels, 8), labels[:9], make_parts(10), SETTINGS, MEAN, STD)
    with pytest.raises(TrainingError, match="valid part"):
        ChipsDataModule(make_store(labels, 8), labels, np.array(["train"] * 10), SETTINGS, MEAN, STD)


def test_channel_statistics() -> None:
    store = make_store(make_labels(50), 8)
    mean, std = channel_statistics(store, np.arange(30))
    np.testing.assert_allclose(mean, (store.pixels[:30] / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (store.pixels[:30] / 255).std((0, 1, 2)))
