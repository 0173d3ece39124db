"""Batches per second against cv2, albumentations and a DataLoader; and what data cost beside a network.

    python benchmarks/data_path.py

Prints ratios of medians, interleaved. Needs the peer: `uv pip install --group bench`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from pipeline.config.settings import load_config
from planets.chips.store import ChipStore
from planets.config.training import ModelEntry, TrainingSettings
from planets.synthetic.labels import LABELS
from planets.synthetic.sample import make_sample
from planets.training.datamodule import ChipsDataModule
from planets.training.model import build_model

CHIPS, BATCH, ROUNDS = 4096, 64, 7
MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)


class PeerDataset(Dataset):
    """One chip at a time, as it is usually written."""

    def __init__(self, files: list[Path], size: int) -> None:
        self.files = files
        steps = [
            albumentations.RandomCrop(size, size),
            albumentations.D4(p=1.0),
            albumentations.RandomBrightnessContrast(0.1, 0.1, p=1.0),
            albumentations.Normalize(MEAN, STD),
            ToTensorV2(),
        ]
        self.transform = albumentations.Compose(steps)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = cv2.cvtColor(cv2.imread(str(self.files[index])), cv2.COLOR_BGR2RGB)
        return self.transform(image=image)["image"], torch.zeros(len(LABELS))


def settings(image_size: int, **changes: Any) -> TrainingSettings:
    base = load_config("sample", []).training
    return base.model_copy(update={"image_size": image_size, "batch_size": BATCH, **changes})


def data_of(files: list[Path], folder: Path, training: TrainingSettings) -> ChipsDataModule:
    names = [(file.stem, file) for file in files]
    store = ChipStore.open(folder / "cache", folder.name, training.image_size, names)
    labels = np.random.default_rng(0).integers(0, 2, (len(files), len(LABELS)), dtype=np.uint8)
    parts = np.array(["train"] * (len(files) - 1) + ["valid"])
    return ChipsDataModule(store, labels, parts, training, MEAN, STD)


def ours(data: ChipsDataModule, epoch: int) -> Iterator[torch.Tensor]:
    for batch in data.train_batches(epoch):
        images, _ = data.on_after_batch_transfer(batch)
        yield images


def rate(batches: Iterable[Any]) -> float:
    """Chips per second over a whole epoch, from its beginning to its last batch."""
    began, count = time.perf_counter(), sum(1 for _ in batches)
    return count * BATCH / (time.perf_counter() - began)


def against_peer(folder: Path, side: int, size: int) -> None:
    files = sorted((folder / str(side) / "train-jpg").glob("*.jpg"))
    loader = DataLoader(
        PeerDataset(files, size), BATCH, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    data = data_of(files, folder / str(side), settings(side, crop=1 - size / side))
    rates: dict[str, list[float]] = {"peer": [], "ours": []}
    for epoch in range(ROUNDS + 1):
        measured = {"peer": rate(loader), "ours": rate(ours(data, epoch))}
        for name, value in measured.items() if epoch else ():
            rates[name].append(value)
    peer, own = (statistics.median(rates[name]) for name in ("peer", "ours"))
    print(f"{side:>3} -> {size:<3} px   chips/s: peer {peer:>6.0f}, ours {own:>6.0f}: {own / peer:.1f} times")


def step(network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> None:
    loss = binary_cross_entropy_with_logits(network(images), torch.zeros(len(images), len(LABELS)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def against_nothing(folder: Path, architecture: str, size: int, batches: int) -> None:
    """Compare epochs of real batches with epochs that repeat one synthetic batch, alternately."""
    files = sorted((folder / "128" / "train-jpg").glob("*.jpg"))
    data = data_of(files, folder / "128", settings(size))
    entry = ModelEntry(name="x", architecture=architecture, pretrained=False, license="none")
    network = build_model(entry, len(LABELS), size).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    synthetic = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)

    def real(epoch: int) -> None:
        for images in islice(ours(data, epoch), batches):
            step(network, optimizer, images)

    def repeated() -> None:
        for _ in range(batches):
            step(network, optimizer, synthetic)

    real(0)
    ratios = []
    for epoch in range(1, 2 * ROUNDS):
        pair = [seconds(lambda: real(epoch)), seconds(repeated)]  # noqa: B023
        ratios.append(pair[0] / pair[1])
    print(
        f"{architecture} at {size} px   an epoch takes {statistics.median(ratios):.3f} times "
        "that of one synthetic batch repeated"
    )


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for side in (256, 128):
            make_sample(Path(folder) / str(side), CHIPS, seed=1, size=side)
        for side, size in ((256, 224), (128, 112)):
            against_peer(Path(folder), side, size)
        against_nothing(Path(folder), "mobilenetv3_small_050", 64, 20)
        against_nothing(Path(folder), "resnet18", 128, 3)


if __name__ == "__main__":
    main()
