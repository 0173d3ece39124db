from pathlib import Path

import numpy as np
import pytest
import torch
from support.synthetic import SETTINGS, make_labels, make_parts, make_store

from planets.chips.store import ChipStore
from planets.config.training import TrainingSettings
from planets.training import TrainingError
from planets.training.augment import augment, normalize
from planets.training.datamodule import Batch, Batches, ChipsDataModule, channel_statistics, copy_chips
from planets.training.distributed import Rank

MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)
SMALL = SETTINGS.model_copy(update={"image_size": 8})


def module(count: int = 100, settings: TrainingSettings = SMALL) -> ChipsDataModule:
    labels = make_labels(count)
    return ChipsDataModule(
        make_store(labels, settings.image_size), labels, make_parts(count), settings, MEAN, STD
    )


def chips_of(data: ChipsDataModule, batch: Batch) -> torch.Tensor:
    return torch.from_numpy(data.store.pixels[batch.rows.numpy()])


def all_of(batches: Batches) -> tuple[np.ndarray, torch.Tensor]:
    """Return the rows of a pass, and its targets."""
    found = list(batches)
    return torch.cat([batch.rows for batch in found]).numpy(), torch.cat([batch.targets for batch in found])


def test_valid_is_every_valid_chip_in_order_and_as_it_is() -> None:
    data = module()
    rows = np.flatnonzero(make_parts(100) == "valid")
    found, targets = all_of(data.val_dataloader())
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_array_equal(targets, data.labels[rows])
    for batch in data.val_dataloader():
        images, _ = data.on_after_batch_transfer(batch)
        torch.testing.assert_close(images, normalize(chips_of(data, batch), MEAN, STD))


def test_train_is_every_train_chip_once_with_its_own_labels() -> None:
    data = module(80)
    rows = np.flatnonzero(make_parts(80) == "train")
    found, targets = all_of(data.train_batches(0))
    assert sorted(found) == rows.tolist()
    np.testing.assert_array_equal(targets, data.labels[found])


def test_train_is_changed_and_valid_is_not() -> None:
    data = module()
    batch = next(iter(data.train_batches(0)))
    assert (data.images(batch) - normalize(chips_of(data, batch), MEAN, STD)).abs().max() > 0.5
    batch = next(iter(data.val_dataloader()))
    torch.testing.assert_close(data.images(batch), normalize(chips_of(data, batch), MEAN, STD))


def test_a_resident_copy_makes_the_same_images() -> None:
    """What a GPU does, on the CPU: the batch knows rows, the images come from the copy."""
    data = module()
    copy = copy_chips(data.store, torch.device("cpu"))
    batch = next(iter(data.train_batches(2)))
    on_gpu = augment(copy, batch.rows, batch.changes, batch.size, MEAN, STD)
    torch.testing.assert_close(data.images(batch), on_gpu, atol=1e-5, rtol=0)


def test_mixed_batches_have_mixed_targets() -> None:
    data = module(settings=SMALL.model_copy(update={"mixup": 0.4}))
    batch = next(iter(data.train_batches(0)))
    images, targets = data.on_after_batch_transfer(batch)
    share = batch.mix.share
    torch.testing.assert_close(targets, share * batch.targets + (1 - share) * batch.targets.flip(0))
    plain = data.images(batch)
    torch.testing.assert_close(images, share * plain + (1 - share) * plain.flip(0), atol=1e-5, rtol=1e-4)


def test_early_epochs_of_progressive_training_have_small_images() -> None:
    data = module(settings=SMALL.model_copy(update={"image_size": 64, "progressive": 0.5, "epochs": 4}))
    sizes = [data.images(next(iter(data.train_batches(epoch)))).shape[-1] for epoch in range(4)]
    assert sizes == [32, 48, 64, 64]
    assert data.images(next(iter(data.val_dataloader()))).shape[-1] == 64


def test_the_test_part_is_nowhere() -> None:
    data = module()
    test = np.flatnonzero(make_parts(100) == "test")
    for loader in (data.train_batches(0), data.val_dataloader()):
        assert not np.isin(all_of(loader)[0], test).any()


def test_images_and_targets_are_what_a_network_takes() -> None:
    data = module()
    for batch in (next(iter(data.train_batches(0))), next(iter(data.val_dataloader()))):
        images, targets = data.on_after_batch_transfer(batch)
        assert images.dtype == targets.dtype == torch.float32
        assert images.shape == (16, 3, 8, 8)
        assert targets.shape == (16, 17)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_order_and_changes_come_from_seed_and_epoch() -> None:
    data, other = module(), module(settings=SMALL.model_copy(update={"seed": 2}))
    first, again = (next(iter(data.train_batches(3))) for _ in range(2))
    torch.testing.assert_close(data.images(first).clone(), data.images(again))
    for batches in (data.train_batches(4), other.train_batches(3)):
        assert not torch.equal(next(iter(batches)).rows, first.rows)


@pytest.mark.parametrize(("count", "batches"), [(5, 1), (16, 1), (17, 1), (33, 2)])
def test_training_drops_an_incomplete_batch_unless_it_is_the_only_one(count: int, batches: int) -> None:
    labels = make_labels(count)
    made = Batches(make_store(labels, 8), labels, np.arange(count), 16, (SMALL, 0))
    assert len(made) == len(list(made)) == batches
    assert made.chips == sum(len(batch.rows) for batch in made) == min(count, batches * 16)


def test_validation_drops_nothing() -> None:
    labels = make_labels(33)
    made = Batches(make_store(labels, 8), labels, np.arange(33), 16)
    assert [len(batch.rows) for batch in made] == [16, 16, 1]
    assert len(made) == 3


def test_a_mapped_store_is_copied_to_a_device_chunk_by_chunk(tmp_path: Path) -> None:
    """Torch warns of read-only memory, and a warning fails a test."""
    pixels = np.random.default_rng(0).integers(0, 256, (600, 2, 2, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = ChipStore(("a",), np.load(tmp_path / "pixels.npy", mmap_mode="r"))
    copy = copy_chips(mapped, torch.device("cpu"))
    np.testing.assert_array_equal(copy.numpy(), pixels)


@pytest.mark.parametrize(("rare", "world"), [("valid", 1), ("train", 1), ("valid", 3), ("train", 3)])
def test_each_rank_needs_a_chip_of_both_splits(rare: str, world: int) -> None:
    labels = make_labels(10)
    splits = np.array([rare] * (world - 1) + [{"valid": "train", "train": "valid"}[rare]] * (11 - world))
    with pytest.raises(TrainingError, match=f"{world - 1} chips in the {rare} split are too few for {world}"):
        ChipsDataModule(make_store(labels, 8), labels, splits, SMALL, MEAN, STD, rank=Rank(0, world))


def test_rows_must_match() -> None:
    labels = make_labels(10)
    with pytest.raises(TrainingError, match="10 chips in the store, 9 rows"):
        ChipsDataModule(make_store(labels, 8), labels[:9], make_parts(10), SETTINGS, MEAN, STD)
    with pytest.raises(TrainingError, match="valid split"):
        ChipsDataModule(make_store(labels, 8), labels, np.array(["train"] * 10), SETTINGS, MEAN, STD)


def test_channel_statistics() -> None:
    store = make_store(make_labels(50), 8)
    mean, std = channel_statistics(store, np.arange(30))
    np.testing.assert_allclose(mean, (store.pixels[:30] / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (store.pixels[:30] / 255).std((0, 1, 2)))
