"""What each part of the recipe does on the sample: test F2 and mAP with one setting changed at a time.

    python benchmarks/recipe.py [--model test_resnet] [--seeds 3] [--only zoom mixup]

Prints the mean over the seeds and its difference to the profile's own settings, with the standard error of
the difference; seeds are paired. The seconds of an epoch stand beside, as a ratio.
"""

import argparse
import contextlib
import io
import math
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.settings import load_config
from planets.archive.split import stratified_split
from planets.archive.table import find_archive, label_matrix
from planets.chips.store import ChipStore
from planets.decision.thresholds import apply_thresholds, fit_thresholds
from planets.evaluation.inference import predict_scores
from planets.metrics.f2 import f2_score, mean_average_precision
from planets.synthetic.sample import make_sample
from planets.training.model import restore
from planets.training.trainer import fit

CHANGES: list[dict[str, Any]] = [
    {},
    {"flips": False},
    {"jitter": 0.0},
    {"jitter": 0.2},
    {"crop": 0.125},
    {"zoom": 0.2},
    {"rotation": 15.0},
    {"mixup": 0.2},
    {"cutmix": 1.0},
    {"loss": "asymmetric"},
    {"label_smoothing": 0.05},
    {"ema_decay": 0.99},
    {"drop_rate": 0.2},
    {"progressive": 0.5},
    {"weight_decay": 0.2},
    {"optimizer": "lamb"},
    {"batch_size": 32},
    {"checkpoint_metric": "map"},
    {"checkpoint_metric": "loss"},
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="names of settings")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    config = load_config("sample", [])
    base = config.training_of(asked.model)
    with tempfile.TemporaryDirectory() as folder:
        archive = find_archive(make_sample(Path(folder) / "sample", 3000, seed=7))
        names = list(archive.rows["image_name"])
        labels = label_matrix(archive.rows["tags"])
        parts = stratified_split(labels, names, 0.15, 0.15, 42)
        files = [(name, archive.chips / f"{name}.jpg") for name in names]
        store = ChipStore.open(Path(folder) / "cache", "sample", base.image_size, files)
        plain: list[tuple[float, float, float]] = []
        print(f"{'change':32}{'test F2':>9}{'':>20}{'test mAP':>10}{'':>20}{'epoch':>8}")
        for change in CHANGES:
            if asked.only and change and not change.keys() & set(asked.only):
                continue
            found = []
            for seed in range(asked.seeds):
                settings = base.model_copy(update={"seed": seed, **change})
                with contextlib.redirect_stdout(io.StringIO()):
                    fitted = fit(
                        config.model(asked.model), settings, store, labels, parts, Path(folder) / "work"
                    )
                network = restore(fitted.architecture, len(fitted.labels), fitted.image_size, fitted.weights)
                valid, test = (
                    (labels[rows], predict_scores(network, store.pixels, fitted.mean, fitted.std, rows))
                    for rows in (np.flatnonzero(parts == "valid"), np.flatnonzero(parts == "test"))
                )
                f2 = f2_score(test[0], apply_thresholds(test[1], fit_thresholds(*valid)))
                epoch = statistics.median(row["seconds"] for row in fitted.history)
                found.append((f2, mean_average_precision(*test), epoch))
            plain = plain or found
            show(change, found, plain)


def show(
    change: dict[str, Any], found: list[tuple[float, float, float]], plain: list[tuple[float, float, float]]
) -> None:
    name = ", ".join(f"{key} {value}" for key, value in change.items()) or "as the profile has it"
    cells = "".join(
        f"{statistics.mean(row[column] for row in found):>{width}.4f}{difference(found, plain, column):>20}"
        for column, width in ((0, 9), (1, 10))
    )
    epoch = statistics.median(row[2] / other[2] for row, other in zip(found, plain, strict=True))
    print(f"{name:32}{cells}{epoch:>8.2f}", flush=True)


def difference(
    found: list[tuple[float, float, float]], plain: list[tuple[float, float, float]], column: int
) -> str:
    gaps = [row[column] - other[column] for row, other in zip(found, plain, strict=True)]
    if found is plain:
        return ""
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    return f"  {statistics.mean(gaps):+.4f} +- {error:.4f}"


if __name__ == "__main__":
    main()
