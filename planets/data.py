"""Chips on their way to the network: batches straight from the store, in an order that the seed decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor

from planets.augment import Changes, augment, draw_changes, normalise
from planets.chips import ChipStore
from planets.config import TrainingSettings
from planets.errors import TrainingError

_SAMPLED = 1024
"""Chips that are looked at for mean and deviation; more change neither in the third digit."""

Channels = tuple[float, float, float]


class Batch(NamedTuple):
    """Some chips, before they are images; they cross to the device as uint8, a quarter of the bytes.

    Attributes:
        chips: uint8 of shape `(N, size, size, 3)`.
        targets: float32 of shape `(N, L)`, 0 or 1.
        changes: how training varies each chip; None everywhere else.
    """

    chips: Tensor
    targets: Tensor
    changes: Changes | None


class Batches:
    """One pass over some rows of a store: in their order, or shuffled and varied for an epoch of training.

    Each batch is gathered from the mapped file in one call; worker processes would only copy it.
    """

    def __init__(
        self,
        store: ChipStore,
        labels: NDArray[np.uint8],
        rows: NDArray[np.int64],
        batch_size: int,
        training: tuple[TrainingSettings, int] | None = None,
    ) -> None:
        """Take `rows` of `store` and `labels` `(N, L)`; `training` is settings and epoch, from 0 on."""
        self.store = store
        self.labels = labels
        self.rows = rows
        self.batch_size = batch_size
        self.training = training

    def __len__(self) -> int:
        """Batches of a pass; training drops an incomplete last one, whose statistics would be noise."""
        whole, rest = divmod(len(self.rows), self.batch_size)
        return max(whole, 1) if self.training else whole + bool(rest)

    @property
    def chips(self) -> int:
        """Chips of a pass."""
        return min(len(self) * self.batch_size, len(self.rows))

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        if not self.training:
            yield from (self._gather(rows, None) for rows in self._cut(self.rows))
            return
        settings, epoch = self.training
        random = np.random.default_rng([settings.seed, epoch])
        for rows in self._cut(random.permutation(self.rows)):
            yield self._gather(rows, draw_changes(len(rows), settings.flips, settings.jitter, random))

    def _cut(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield rows[start : start + self.batch_size]

    def _gather(self, rows: NDArray[np.int64], changes: Changes | None) -> Batch:
        targets = self.labels[rows].astype(np.float32)
        return Batch(torch.from_numpy(self.store.pixels[rows]), torch.from_numpy(targets), changes)


class ChipsDataModule(LightningDataModule):
    """The train and valid parts of a store, as Lightning wants them; test never comes near a training."""

    def __init__(
        self,
        store: ChipStore,
        labels: NDArray[np.uint8],
        parts: NDArray[np.str_],
        settings: TrainingSettings,
        mean: Channels,
        std: Channels,
    ) -> None:
        """Take `labels` `(N, L)` and `parts` `(N,)`, whose rows are those of `store`.

        Raises:
            TrainingError: the rows do not match, or the train or the valid part is empty.
        """
        super().__init__()
        if not len(store.names) == len(labels) == len(parts):
            raise TrainingError(
                f"{len(store.names)} chips in the store, {len(labels)} rows of labels, {len(parts)} parts; "
                "give all three for the same chips in the same order"
            )
        self.store = store
        self.labels = labels
        self.rows = {part: np.flatnonzero(parts == part) for part in ("train", "valid")}
        if empty := [part for part, rows in self.rows.items() if not len(rows)]:
            raise TrainingError(f"no chips in the {' and '.join(empty)} part; split the dataset again")
        self.settings = settings
        self.mean = mean
        self.std = std

    def train_batches(self, epoch: int) -> Batches:
        """Return the batches of one epoch of training, the same for the same seed and epoch (from 0 on)."""
        return Batches(
            self.store, self.labels, self.rows["train"], self.settings.batch_size, (self.settings, epoch)
        )

    def train_dataloader(self) -> Batches:
        """Return the batches of the trainer's epoch; to be asked anew for each."""
        assert self.trainer is not None
        return self.train_batches(self.trainer.current_epoch)

    def val_dataloader(self) -> Batches:
        """Return the valid part, in the store's order, as it is."""
        return Batches(self.store, self.labels, self.rows["valid"], self.settings.batch_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> tuple[Tensor, Tensor]:
        """Turn a batch into images, float32 `(N, 3, size, size)` in channels-last memory, and targets."""
        return self.images(batch), batch.targets

    def images(self, batch: Batch) -> Tensor:
        """Normalise the chips of a batch, and change them if the batch says how."""
        if batch.changes is None:
            return normalise(batch.chips, self.mean, self.std)
        return augment(batch.chips, batch.changes, self.mean, self.std)


def channel_statistics(store: ChipStore, rows: NDArray[np.int64]) -> tuple[Channels, Channels]:
    """Return mean and deviation of each channel, in the scale of 0 to 1, over (up to 1,024 of) `rows`."""
    chosen = rows[:: max(1, len(rows) // _SAMPLED)][:_SAMPLED]
    counts = sum(
        np.stack(
            [np.bincount(store.pixels[row, ..., channel].ravel(), minlength=256) for channel in range(3)]
        )
        for row in chosen
    )
    levels = np.arange(256) / 255
    mean = (counts * levels).sum(1) / np.sum(counts, axis=1)
    variance = (counts * (levels - mean[:, None]) ** 2).sum(1) / np.sum(counts, axis=1)
    red, green, blue = mean.tolist()
    # A part of one colour has no deviation; dividing by it would make images of nothing but infinity.
    deviations = np.sqrt(variance).clip(min=1 / 255).tolist()
    return (red, green, blue), (deviations[0], deviations[1], deviations[2])
