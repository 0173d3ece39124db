"""Our training against the program that people usually write, on the same chips, split, epochs and machine.

    python benchmarks/peer_training.py [--epochs 12] [--seeds 3]

The peer is in `peer.py`. Both train `mobilenetv3_small_050` from scratch at 64 px on the synthetic sample.
Needs: `uv pip install --group bench`.
"""

import argparse
import logging
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from peer import BATCH, Chips, Job, Outcome, outcome, run_peer

from pipeline.config.settings import load_config
from planets.archive.split import stratified_split
from planets.archive.table import find_archive, label_matrix
from planets.chips.store import ChipStore
from planets.config.project import Config
from planets.decision.thresholds import apply_thresholds, fit_thresholds
from planets.evaluation.inference import predict_scores
from planets.metrics.f2 import f2_score
from planets.synthetic.labels import LABELS, PLANETS
from planets.synthetic.sample import make_sample
from planets.training.model import build_model
from planets.training.trainer import fit

MODEL, SIZE = "mobilenet", 64


class CheckpointKeeper(Logger):
    """Keeps the checkpoint of each epoch as `<epoch>.ckpt`, and when each epoch ended."""

    name = "keeper"
    version = 0

    def __init__(self, folder: Path, began: float) -> None:
        super().__init__()
        self.ends: list[float] = []
        self._folder, self._began = folder, began

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.ends.append(time.perf_counter() - self._began)

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        pass

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        shutil.copy(checkpoint_callback.best_model_path, self._folder / f"{len(self.ends)}.ckpt")


def run_ours(chips: Chips, config: Config, epochs: int, seed: int, folder: Path) -> Outcome:
    settings = config.training_of(MODEL, epochs=epochs, seed=seed, image_size=SIZE, batch_size=BATCH)
    began = time.perf_counter()
    store = ChipStore.open(folder / "cache", "x", SIZE, list(zip(chips.names, chips.files, strict=True)))

    keeper = CheckpointKeeper(folder, began)
    fitted = fit(config.model(MODEL), settings, store, chips.labels, LABELS, chips.parts, folder, keeper)
    network = build_model(config.model(MODEL), len(LABELS), SIZE)
    scores = []
    for epoch in range(1, epochs + 1):
        state = torch.load(folder / f"{epoch}.ckpt", weights_only=True)
        weights = {key.removeprefix("network."): value for key, value in state["state_dict"].items()}
        network.load_state_dict(weights)
        found = {
            part: predict_scores(network, store.pixels, fitted.mean, fitted.std, chips.of(part))
            for part in ("valid", "test")
        }
        cuts = fit_thresholds(chips.labels[chips.of("valid")], found["valid"])
        scores.append(f2_score(chips.labels[chips.of("test")], apply_thresholds(found["test"], cuts)))
    return outcome(keeper.ends, scores)


def sample(folder: Path) -> Chips:
    archive = find_archive(make_sample(folder / "sample", 3000, seed=7), PLANETS)
    names = list(archive.rows["image_name"])
    labels = label_matrix(archive.rows["tags"], LABELS)
    parts = stratified_split(labels, names, 0.15, 0.15, 42)
    return Chips(names, list(archive.files), labels, parts)


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
    job = Job(config.model(MODEL).architecture, SIZE, asked.epochs)
    pairs = []
    with tempfile.TemporaryDirectory() as root:
        chips = sample(Path(root))
        for seed in range(asked.seeds):
            folders = [Path(root) / f"{name}-{seed}" for name in ("peer", "ours")]
            pairs.append(
                (
                    run_peer(chips, job, seed, folders[0]),
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
