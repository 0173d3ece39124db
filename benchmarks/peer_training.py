"""Our training against the program that people usually write, on the same chips, split, epochs and machine.

    python benchmarks/peer_training.py [--epochs 12] [--seeds 3]

The peer: Lightning, cv2 and albumentations per item in a DataLoader, torchmetrics in `forward`, Adam with
ReduceLROnPlateau, cross-entropy, thresholds from a grid of 0.1 to 0.8. Both train
`mobilenetv3_small_050` from scratch at 64 px on the synthetic sample. Needs: `uv pip install --group bench`.
"""

import argparse
import logging
import shutil
import statistics
import tempfile
import time
import warnings
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

from pipeline.settings import load_config
from planets.chips import ChipStore
from planets.config import Config
from planets.journal import CHECKPOINT
from planets.labels import LABELS, encode
from planets.layout import find_archive
from planets.metrics import f2_score
from planets.model import build_model
from planets.predict import predict_scores
from planets.sample import make_sample
from planets.split import stratified_split
from planets.thresholds import apply_thresholds, fit_thresholds
from planets.training import fit

MODEL, SIZE, BATCH = "mobilenet", 64, 64
GRID = np.arange(0.1, 0.85, 0.05)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Chips:
    """The sample: files, labels `(N, 17)` and parts."""

    names: list[str]
    files: list[Path]
    labels: NDArray[np.uint8]
    parts: NDArray[np.str_]

    def of(self, part: str) -> NDArray[np.int64]:
        return np.flatnonzero(self.parts == part)


@dataclass
class Outcome:
    """Seconds of the median epoch; test F2 at the end; seconds and test F2 after each epoch."""

    epoch: float
    f2: float
    course: list[tuple[float, float]]


class PeerDataset(Dataset):
    def __init__(self, chips: Chips, part: str) -> None:
        self.chips, self.rows = chips, chips.of(part)
        varied = [albumentations.D4(p=1.0), albumentations.RandomBrightnessContrast(0.1, 0.1, p=1.0)]
        steps = [albumentations.Resize(SIZE, SIZE), *(varied if part == "train" else [])]
        self.transform = albumentations.Compose([*steps, albumentations.Normalize(MEAN, STD), ToTensorV2()])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        row = self.rows[index]
        image = cv2.cvtColor(cv2.imread(str(self.chips.files[row])), cv2.COLOR_BGR2RGB)
        return self.transform(image=image)["image"], torch.from_numpy(
            self.chips.labels[row].astype(np.float32)
        )


class PeerModule(LightningModule):
    def __init__(self, architecture: str) -> None:
        super().__init__()
        self.network = timm.create_model(architecture, num_classes=len(LABELS))
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


def run_peer(chips: Chips, config: Config, epochs: int, seed: int, folder: Path) -> Outcome:
    torch.manual_seed(seed)
    loaders = {
        part: DataLoader(
            PeerDataset(chips, part), BATCH, shuffle=part == "train", num_workers=2, persistent_workers=True
        )
        for part in ("train", "valid", "test")
    }
    module, course = PeerModule(config.model(MODEL).architecture), Course()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[course],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, loaders["train"], loaders["valid"])
    scores = []
    for state in course.states:
        module.network.load_state_dict(state)
        found = {part: peer_scores(module, loaders[part]) for part in ("valid", "test")}
        cuts = grid_thresholds(chips.labels[chips.of("valid")], found["valid"])
        scores.append(f2_score(chips.labels[chips.of("test")], apply_thresholds(found["test"], cuts)))
    return outcome(course.ends, scores)


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


def run_ours(chips: Chips, config: Config, epochs: int, seed: int, folder: Path) -> Outcome:
    settings = config.training_of(MODEL, epochs=epochs, seed=seed, image_size=SIZE, batch_size=BATCH)
    ends: list[float] = []
    began = time.perf_counter()
    store = ChipStore.open(folder / "cache", "x", SIZE, list(zip(chips.names, chips.files, strict=True)))

    def note(epoch: int, _: dict[str, float]) -> None:
        ends.append(time.perf_counter() - began)
        shutil.copy(folder / CHECKPOINT, folder / f"{epoch}.ckpt")

    fitted = fit(config.model(MODEL), settings, store, chips.labels, chips.parts, folder, note)
    network = build_model(config.model(MODEL), len(LABELS), SIZE)
    scores = []
    for epoch in range(1, epochs + 1):
        state = torch.load(folder / f"{epoch}.ckpt", weights_only=True)
        weights = state.get("average") or {
            key.removeprefix("network."): value for key, value in state["state_dict"].items()
        }
        network.load_state_dict(weights)
        found = {
            part: predict_scores(network, store.pixels, fitted.mean, fitted.std, chips.of(part))
            for part in ("valid", "test")
        }
        cuts = fit_thresholds(chips.labels[chips.of("valid")], found["valid"])
        scores.append(f2_score(chips.labels[chips.of("test")], apply_thresholds(found["test"], cuts)))
    return outcome(ends, scores)


def outcome(ends: list[float], scores: list[float]) -> Outcome:
    epochs = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    return Outcome(statistics.median(epochs), scores[-1], list(zip(ends, scores, strict=True)))


def sample(folder: Path) -> Chips:
    archive = find_archive(make_sample(folder / "sample", 3000, seed=7))
    names = [row.name for row in archive.rows]
    labels = np.stack([encode(row.tags) for row in archive.rows])
    parts = stratified_split(labels, names, 0.15, 0.15, 42)
    return Chips(names, [archive.chips / f"{name}.jpg" for name in names], labels, parts)


def reached(course: list[tuple[float, float]], f2: float) -> float:
    """Seconds until a test F2 was reached; infinite if it never was."""
    return next((end for end, score in course if score >= f2), float("inf"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    config = load_config("sample", [])
    pairs = []
    with tempfile.TemporaryDirectory() as root:
        chips = sample(Path(root))
        for seed in range(asked.seeds):
            folders = [Path(root) / f"{name}-{seed}" for name in ("peer", "ours")]
            pairs.append(
                (
                    run_peer(chips, config, asked.epochs, seed, folders[0]),
                    run_ours(chips, config, asked.epochs, seed, folders[1]),
                )
            )
            show(f"seed {seed}", *pairs[-1])
    peers, own = zip(*pairs, strict=True)
    target = statistics.mean(each.f2 for each in peers)
    whole = statistics.median(each.course[-1][0] for each in peers)
    ours = statistics.median(reached(each.course, target) for each in own)
    print(
        f"epoch: {statistics.median(p.epoch / o.epoch for p, o in pairs):.2f} times shorter\n"
        f"test F2, mean of {asked.seeds} seeds: peer {target:.4f}, ours "
        f"{statistics.mean(each.f2 for each in own):.4f}\n"
        f"seconds to the peer's final F2: peer {whole:.0f}, ours {ours:.0f}: {whole / ours:.1f} times less"
    )


def show(title: str, peer: Outcome, own: Outcome) -> None:
    for name, each in (("peer", peer), ("ours", own)):
        course = " ".join(f"{score:.3f}" for _, score in each.course)
        print(f"{title} {name}: epoch {each.epoch:.2f} s, test F2 {each.f2:.4f}   {course}", flush=True)


if __name__ == "__main__":
    main()
