"""The program that people usually write, on the chips of a benchmark.

Lightning, cv2 and albumentations per item in a DataLoader, torchmetrics in `forward`, Adam with
ReduceLROnPlateau, cross-entropy, thresholds from a grid of 0.1 to 0.8. `peer_training.py` and `real.py`
compare it with ours.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import albumentations
import cv2
import numpy as np
import timm
import torch
from albumentations.pytorch import ToTensorV2
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MultilabelFBetaScore

from planets.decision.thresholds import apply_thresholds
from planets.metrics.f2 import f2_score
from planets.synthetic.labels import LABELS

BATCH = 64
GRID = np.arange(0.1, 0.85, 0.05)


@dataclass
class Chips:
    """Chips of a benchmark: files, labels `(N, 17)` and parts."""

    names: list[str]
    files: list[Path]
    labels: NDArray[np.uint8]
    parts: NDArray[np.str_]

    def of(self, part: str) -> NDArray[np.int64]:
        return np.flatnonzero(self.parts == part)


@dataclass(frozen=True)
class Job:
    """What is trained: a timm architecture, from scratch or from a file of weights, at a size in pixels."""

    architecture: str
    size: int
    epochs: int
    weights: Path | None = None

    def network(self, classes: int) -> torch.nn.Module:
        """Return the network as timm makes it, with the weights of the file if there is one."""
        overlay = {"file": str(self.weights)} if self.weights else None
        return timm.create_model(
            self.architecture,
            pretrained=bool(self.weights),
            pretrained_cfg_overlay=overlay,
            num_classes=classes,
        )


@dataclass
class Outcome:
    """Seconds of the median epoch; test F2 at the end; seconds and test F2 after each epoch."""

    epoch: float
    f2: float
    course: list[tuple[float, float]]


@dataclass
class Trained:
    """A trained peer: its network with its loaders, and when each epoch ended, with the weights then."""

    module: "PeerModule"
    loaders: dict[str, DataLoader]
    ends: list[float]
    states: list[dict[str, torch.Tensor]]


class PeerDataset(Dataset):
    def __init__(
        self, chips: Chips, part: str, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.chips, self.rows = chips, chips.of(part)
        varied = [albumentations.D4(p=1.0), albumentations.RandomBrightnessContrast(0.1, 0.1, p=1.0)]
        steps = [albumentations.Resize(size, size), *(varied if part == "train" else [])]
        self.transform = albumentations.Compose([*steps, albumentations.Normalize(mean, std), ToTensorV2()])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        row = self.rows[index]
        image = cv2.cvtColor(cv2.imread(str(self.chips.files[row])), cv2.COLOR_BGR2RGB)
        return self.transform(image=image)["image"], torch.from_numpy(
            self.chips.labels[row].astype(np.float32)
        )


class PeerModule(LightningModule):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        measure = {"beta": 2.0, "num_labels": len(LABELS), "average": "micro"}
        self.train_f2, self.valid_f2 = MultilabelFBetaScore(**measure), MultilabelFBetaScore(**measure)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        logits = self.network(batch[0])
        loss = binary_cross_entropy_with_logits(logits, batch[1])
        self.log("train_loss", loss, on_epoch=True)
        self.log("train_f2", self.train_f2(logits.sigmoid(), batch[1].int()), on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        logits = self.network(batch[0])
        self.log("valid_loss", binary_cross_entropy_with_logits(logits, batch[1]))
        self.log("valid_f2", self.valid_f2(logits.sigmoid(), batch[1].int()))

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "valid_loss"}}


class Course(Callback):
    """Notes when each epoch of the peer ended, and its weights."""

    def __init__(self) -> None:
        self.began, self.ends, self.states = time.perf_counter(), [], []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ends.append(time.perf_counter() - self.began)
        self.states.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})


def train_peer(chips: Chips, job: Job, seed: int, folder: Path) -> Trained:
    torch.manual_seed(seed)
    network = job.network(len(LABELS))
    pretrained = network.pretrained_cfg
    loaders = {
        part: DataLoader(
            PeerDataset(chips, part, job.size, pretrained["mean"], pretrained["std"]),
            BATCH,
            shuffle=part == "train",
            num_workers=2,
            persistent_workers=True,
        )
        for part in ("train", "valid", "test")
    }
    module, course = PeerModule(network), Course()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=job.epochs,
        callbacks=[course],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, loaders["train"], loaders["valid"])
    return Trained(module, loaders, course.ends, course.states)


def run_peer(chips: Chips, job: Job, seed: int, folder: Path) -> Outcome:
    trained = train_peer(chips, job, seed, folder)
    scores = []
    for state in trained.states:
        trained.module.network.load_state_dict(state)
        found = {part: peer_scores(trained.module, trained.loaders[part]) for part in ("valid", "test")}
        cuts = grid_thresholds(chips.labels[chips.of("valid")], found["valid"])
        scores.append(f2_score(chips.labels[chips.of("test")], apply_thresholds(found["test"], cuts)))
    return outcome(trained.ends, scores)


def peer_scores(module: PeerModule, loader: DataLoader) -> NDArray[np.float32]:
    module.eval()
    with torch.inference_mode():
        return torch.cat([module.network(images).sigmoid() for images, _ in loader]).numpy()


def grid_thresholds(targets: NDArray[np.uint8], scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Take the best of the grid for one label after the other."""
    cuts = np.full(len(LABELS), 0.2)
    for label in range(len(LABELS)):
        tried = []
        for cut in GRID:
            cuts[label] = cut
            tried.append(f2_score(targets, apply_thresholds(scores, cuts)))
        cuts[label] = GRID[int(np.argmax(tried))]
    return cuts


def outcome(ends: list[float], scores: list[float]) -> Outcome:
    epochs = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    return Outcome(statistics.median(epochs), scores[-1], list(zip(ends, scores, strict=True)))
