"""The LightningDataModule: seeded batches of chips, turned into images on the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor

from planets.chips import Channels
from planets.chips.batches import ahead
from planets.chips.store import ChipStore
from planets.config.training import TrainingSettings
from planets.training import TrainingError
from planets.training.augment import (
    Changes,
    Mix,
    augment,
    draw_changes,
    draw_mix,
    mix_batch,
    no_changes,
    train_size,
)
from planets.training.augment_cpu import augment_fused
from planets.training.distributed import ALONE, Rank

_SAMPLED = 1024
"""Chips sampled for mean and deviation; more change neither in the third digit."""

_RESIDENT_SHARE = 0.4
"""Share of a GPU's free memory that chips may fill; the network and its gradients need the rest."""

_CHUNK = 256
"""Chips that are copied to a GPU at a time, 50 MB at 256 px."""

_CPU = torch.device("cpu")


class Batch(NamedTuple):
    """A batch of chips before it becomes images.

    Attributes:
        rows: int64 of shape `(N,)`, rows of the store.
        chips: uint8 of shape `(N, size, size, 3)`; None where images come from the store itself.
        targets: float32 of shape `(N, L)`, 0 or 1.
        changes: augmentation of each chip; none outside training.
        size: pixels per side of the images.
        mix: mixup or cutmix of the batch, if any.
    """

    rows: Tensor
    chips: Tensor | None
    targets: Tensor
    changes: Changes
    size: int
    mix: Mix | None


@dataclass(frozen=True, eq=False)
class Batches:
    """One pass over rows of a store: in order, or shuffled and augmented for an epoch of training.

    Attributes:
        store: the chips.
        labels: 0/1 of shape `(N, L)`, rows as in `store`.
        rows: int64, the rows of the pass.
        batch_size: chips per batch, over all ranks.
        training: settings and epoch (from 0); None yields chips in order and unchanged.
        gathered: prefetch the chips; without it, batches hold only their rows.
        rank: this process, which gets its share of every batch.
    """

    store: ChipStore
    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    batch_size: int
    training: tuple[TrainingSettings, int] | None = None
    gathered: bool = True
    rank: Rank = ALONE

    def __len__(self) -> int:
        """Return the batches of a pass; training drops an incomplete last one, whose statistics are noise."""
        whole, rest = divmod(len(self.rows), self.batch_size)
        if self.training is None:
            return whole + bool(rest)
        return min(max(whole, 1), self.training[0].max_batches or whole + 1)

    @property
    def chips(self) -> int:
        """Number of chips of a pass."""
        return min(len(self) * self.batch_size, len(self.rows))

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        batches = self._drawn(*self.training) if self.training else self._plain()
        return ahead(map(self._gather, batches)) if self.gathered else batches

    def _plain(self) -> Iterator[Batch]:
        size = self.store.size
        index, world = self.rank.index, self.rank.world
        for start in range(0, len(self.rows), self.batch_size):
            rows = self.rows[start + index : start + self.batch_size : world]
            yield self._batch(rows, no_changes(len(rows), size), size, None)

    def _drawn(self, settings: TrainingSettings, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng([settings.seed, epoch])
        size = train_size(settings, epoch)
        index, world = self.rank.index, self.rank.world
        order = random.permutation(self.rows)[: self.chips]
        drawn = draw_changes(len(order), settings, random)
        # Changes are drawn for the whole batch and divided; of mixing each rank draws its own.
        mixing = random if index == 0 else np.random.default_rng([settings.seed, epoch, index])
        for start in range(0, len(order), self.batch_size):
            mine = slice(start + index, start + self.batch_size, world)
            mix = draw_mix(settings.mixup, settings.cutmix, mixing)
            yield self._batch(order[mine], Changes(*(change[mine] for change in drawn)), size, mix)

    def _batch(self, rows: NDArray[np.int64], changes: Changes, size: int, mix: Mix | None) -> Batch:
        targets = torch.from_numpy(self.labels[rows].astype(np.float32))
        return Batch(torch.from_numpy(rows), None, targets, changes, size, mix)

    def _gather(self, batch: Batch) -> Batch:
        chips = torch.from_numpy(self.store.pixels[batch.rows.numpy()])
        return batch._replace(chips=chips.pin_memory() if torch.cuda.is_available() else chips)


class ChipsDataModule(LightningDataModule):
    """The train and validation splits of a store; training never sees the test split.

    Images are computed where it is fastest. On a GPU: from a copy of all chips in its memory if they fit,
    else from batches that are transferred as uint8, a quarter of the bytes. On the CPU: in one pass over the
    mapped store.
    """

    def __init__(
        self,
        store: ChipStore,
        labels: NDArray[np.uint8],
        splits: NDArray[np.str_],
        settings: TrainingSettings,
        mean: Channels,
        std: Channels,
        device: torch.device = _CPU,
        rank: Rank = ALONE,
    ) -> None:
        """Take `labels` `(N, L)` and `splits` `(N,)`, whose rows are those of `store`; train on `device`.

        Raises:
            TrainingError: the rows do not match, or a split has fewer chips than there are ranks.
        """
        super().__init__()
        if not len(store.names) == len(labels) == len(splits):
            raise TrainingError(
                f"{len(store.names)} chips in the store, {len(labels)} rows of labels, {len(splits)} splits; "
                "give all three for the same chips in the same order"
            )
        self.store = store
        self.labels = labels
        self.rows = {split: np.flatnonzero(splits == split) for split in ("train", "valid")}
        for split, rows in self.rows.items():
            if len(rows) < rank.world:
                raise TrainingError(
                    f"{len(rows)} chips in the {split} split are too few for {rank.world} training "
                    "processes; split the dataset again, or lower training.devices"
                )
        self.settings = settings
        self.mean = mean
        self.std = std
        self.device = device
        self.rank = rank
        self.resident = _resident(store, device) if device.type == "cuda" else None
        self._images = np.empty((0, 0, 0, 3), dtype=np.float32)

    def train_batches(self, epoch: int) -> Batches:
        """Return the batches of one epoch of training, the same for the same seed and epoch (from 0 on)."""
        return self._batches("train", (self.settings, epoch))

    def train_dataloader(self) -> Batches:
        """Return the batches of the trainer's current epoch; the trainer reloads them for each."""
        assert self.trainer is not None
        return self.train_batches(self.trainer.current_epoch)

    def val_dataloader(self) -> Batches:
        """Return the validation split, in the store's order, unchanged."""
        return self._batches("valid", None)

    def _batches(self, split: str, training: tuple[TrainingSettings, int] | None) -> Batches:
        gathered = self.resident is None and self.device.type != "cpu"
        rows, size = self.rows[split], self.settings.batch_size
        return Batches(self.store, self.labels, rows, size, training, gathered, self.rank)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> tuple[Tensor, Tensor]:
        """Turn a batch into images, float32 `(N, 3, size, size)` in channels-last memory, and targets."""
        images = self.images(batch)
        return mix_batch(images, batch.targets, batch.mix) if batch.mix else (images, batch.targets)

    def images(self, batch: Batch) -> Tensor:
        """Return a batch of images, float32 `(N, 3, size, size)`; the next call on a CPU overwrites it."""
        store = self.resident if batch.chips is None else batch.chips
        rows = batch.rows if batch.chips is None else torch.arange(len(batch.rows), device=batch.rows.device)
        if rows.device.type == "cpu":
            pixels = self.store.pixels if store is None else store.numpy()
            out = self._memory(len(rows), batch.size)
            how = (batch.changes, batch.size, self.mean, self.std)
            return augment_fused(pixels, rows.numpy(), *how, out=out)
        assert store is not None
        return augment(store, rows, batch.changes, batch.size, self.mean, self.std)

    def _memory(self, count: int, size: int) -> NDArray[np.float32]:
        """Return memory for a batch of images, reused: the first touch of new pages is slow."""
        if len(self._images) < count or self._images.shape[1] != size:
            self._images = np.empty((max(count, self.settings.batch_size), size, size, 3), dtype=np.float32)
        return self._images


def _resident(store: ChipStore, device: torch.device) -> Tensor | None:
    """Return a copy of all chips on a GPU if they fit; else None."""
    free, _ = torch.cuda.mem_get_info(device)
    return copy_chips(store, device) if store.pixels.nbytes <= _RESIDENT_SHARE * free else None


def copy_chips(store: ChipStore, device: torch.device) -> Tensor:
    """Return all chips on `device`, uint8 `(N, size, size, 3)`.

    In chunks: torch takes no read-only memory, which a mapped store is, and a second copy of all of it may
    not fit on the host.
    """
    pixels = store.pixels
    chips = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), _CHUNK):
        chunk = np.array(pixels[start : start + _CHUNK])
        chips[start : start + len(chunk)] = torch.from_numpy(chunk)
    return chips


def channel_statistics(store: ChipStore, rows: NDArray[np.int64]) -> tuple[Channels, Channels]:
    """Return mean and deviation of each channel, on a scale of 0 to 1, over up to 1,024 of `rows`."""
    counts = np.zeros((3, 256), dtype=np.int64)
    for row in rows[:: max(1, len(rows) // _SAMPLED)][:_SAMPLED]:
        chip = store.pixels[row]
        counts += [np.bincount(chip[..., channel].ravel(), minlength=256) for channel in range(3)]
    levels = np.arange(256) / 255
    mean = (counts * levels).sum(1) / counts.sum(1)
    variance = (counts * (levels - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    red, green, blue = mean.tolist()
    # A split of one color has no deviation; dividing by it would make images of nothing but infinity.
    deviations = np.sqrt(variance).clip(min=1 / 255).tolist()
    return (red, green, blue), (deviations[0], deviations[1], deviations[2])
