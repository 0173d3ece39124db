"""Chips per second by torch and by ONNX Runtime, of the same network on the same processor.

    python benchmarks/serving.py [--bundle output/best | --architecture resnet18 --size 256]

In turn, medians, with and without test-time augmentation, from decoded chips to probabilities; then the time
until a fresh process has predicted its first picture.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from planets.bundle.bundle import Bundle
from planets.bundle.onnx_member import OnnxMember
from planets.bundle.torch_member import TorchMember
from planets.decision.decision import Decision
from planets.synthetic.drawing import draw_jpeg
from planets.synthetic.labels import LABELS, PLANETS
from planets.training.model import create
from planets.training.trained_model import TrainedModel

ROUNDS = 7
RUNTIMES = {"torch": None, "onnx": OnnxMember.load}


def untrained(folder: Path, architecture: str, size: int) -> Path:
    """Save a bundle of a network as it is before any training: its speed is that of a trained one."""
    torch.manual_seed(0)
    weights = create(architecture, len(LABELS), size).state_dict()
    fitted = TrainedModel(
        weights, architecture, LABELS, size, (0.3, 0.35, 0.4), (0.1,) * 3, "map", 0.0, 1, []
    )
    member = TorchMember.create(fitted, "untrained", "none", noise(4, size))
    decision = Decision(
        labels=LABELS,
        shares=(1.0,),
        tta=False,
        thresholds=(0.2,) * len(LABELS),
        groups=(),
    )
    origin = {"name": "untrained", "dataset_id": "", "source": "unknown", "content_hash": "", "parts": {}}
    Bundle.create(
        [member], decision, {}, {}, label_set=PLANETS, split_seed=0, code_version="", **origin
    ).save(folder)
    return folder


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def throughput(folder: Path, chips: int) -> None:
    bundles = {name: Bundle.load(folder, read) for name, read in RUNTIMES.items()}
    pixels = {size: noise(chips, size) for size in bundles["onnx"].sizes}
    sizes = {member.info.architecture: member.info.image_size for member in bundles["onnx"].members}
    for tta in (False, True):
        spent: dict[str, list[float]] = {name: [] for name in bundles}
        for round_ in range(ROUNDS + 1):
            for name, bundle in bundles.items():
                took = seconds(lambda: [m.scores(pixels[m.info.image_size], tta, 64) for m in bundle.members])  # noqa: B023
                if round_:
                    spent[name].append(took)
        rates = {name: chips / statistics.median(each) for name, each in spent.items()}
        ratio = statistics.median(a / b for a, b in zip(spent["torch"], spent["onnx"], strict=True))
        speeds = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        print(f"{sizes} tta {tta!s:5}  chips/s: {speeds}: {ratio:.2f} times as many", flush=True)


FIRST = """
import sys
from planets import Predictor
Predictor(sys.argv[1], sys.argv[2]).predict([sys.argv[3]])
"""


def first_picture(folder: Path, chip: Path) -> None:
    spent: dict[str, list[float]] = {name: [] for name in RUNTIMES}
    for _ in range(3):
        for name in RUNTIMES:
            command = [sys.executable, "-c", FIRST, str(folder), name, str(chip)]
            spent[name].append(seconds(lambda: subprocess.run(command, check=True)))  # noqa: B023
    print(
        json.dumps(
            {f"first picture, {name}": round(statistics.median(each), 2) for name, each in spent.items()}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--chips", type=int, default=64)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.bundle or untrained(Path(made) / "bundle", asked.architecture, asked.size)
        throughput(folder, asked.chips)
        chip = Path(made) / "chip.jpg"
        chip.write_bytes(draw_jpeg(frozenset({"clear", "primary"}), 256, np.random.default_rng(0)))
        first_picture(folder, chip)


if __name__ == "__main__":
    main()
