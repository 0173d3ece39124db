"""The pipeline on real chips, against two programs that people use, on the same split, network and epochs.

    make benchmark.real DATA=/folder/with/the/archives [ARGS="--sets 256 --seeds 1"]

The folder holds `real_chips_256.tar`, `real_chips_32.tar.xz` and
`weights/tf_efficientnet_lite0.safetensors`. Ours is a whole run of the pipeline by the embedded server and
its agents. The peers are `peer.py` and `fastai_peer.py`. All are scored on the same test chips; thresholds
come from validation.

Each result is kept in `benchmarks/results/real.json` and shown in `real.md` beside it. Together they take
hours, so a repeated call makes those that are missing; `--again "this pipeline"` repeats those of a program.
"""

import argparse
import hashlib
import json
import logging
import os
import platform
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fastai_peer import run_fastai
from numpy.typing import NDArray
from peer import Chips, Job, grid_thresholds, peer_scores, train_peer

from planets.archive.split import stratified_split
from planets.archive.table import find_archive, label_matrix
from planets.decision.thresholds import apply_thresholds
from planets.metrics.f2 import f2_interval, f2_per_sample, mean_average_precision
from planets.synthetic.labels import LABELS, PLANETS
from planets.system import usable_cores

RESULTS = Path(__file__).with_name("results") / "real.json"
OURS, PEER, FASTAI = "this pipeline", "peer.py", "fastai"


@dataclass(frozen=True)
class RealSet:
    """Real chips: their archive, the folder in it, and the network that is trained on them.

    `recipe` holds the settings of our entry that differ from the defaults.
    """

    title: str
    chips: str
    archive: str
    folder: str
    architecture: str
    size: int
    epochs: int
    weights: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)

    def job(self, data: Path) -> Job:
        return Job(self.architecture, self.size, self.epochs, data / self.weights if self.weights else None)


SETS = {
    "256": RealSet(
        title="256 px chips, EfficientNet-Lite0 with ImageNet weights at 128 px",
        chips="851",
        archive="real_chips_256.tar",
        folder="planets256",
        architecture="tf_efficientnet_lite0",
        size=128,
        epochs=12,
        weights="weights/tf_efficientnet_lite0.safetensors",
        recipe={"learning_rate": 1e-3, "batch_size": 32, "ema_decay": 0.99},
    ),
    "32": RealSet(
        title="32 px chips, test_resnet from scratch at 32 px",
        chips="30,431",
        archive="real_chips_32.tar.xz",
        folder="planets32",
        architecture="test_resnet",
        size=32,
        epochs=12,
        recipe={"learning_rate": 4e-3},
    ),
}


@dataclass(frozen=True)
class Result:
    """Scores on test, the seconds of the training, and the chips that it saw in them; day and machine."""

    chips_set: str
    program: str
    seed: int
    f2: float
    low: float
    high: float
    mean_ap: float
    seconds: float
    chips: int
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")
    machine: str = f"{usable_cores()} cores ({platform.machine()}), no GPU"

    @classmethod
    def of(
        cls,
        chips_set: str,
        program: str,
        seed: int,
        targets: NDArray[np.uint8],
        scores: NDArray[np.float32],
        cuts: NDArray[np.float64],
        seconds: float,
        chips: int,
    ) -> "Result":
        f2 = f2_per_sample(targets, apply_thresholds(scores, cuts))
        mean_ap = mean_average_precision(targets, scores)
        return cls(chips_set, program, seed, float(f2.mean()), *f2_interval(f2), mean_ap, seconds, chips)


def chips_of(folder: Path, seed: int) -> Chips:
    """Read the chips and split them as the pipeline's step does: by the digests of the files."""
    archive = find_archive(folder, PLANETS)
    labels = label_matrix(archive.rows["tags"], LABELS)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in archive.files]
    parts = stratified_split(labels, digests, 0.15, 0.15, seed)
    return Chips(list(archive.rows["image_name"]), list(archive.files), labels, parts)


@contextmanager
def pipeline(python: Path, home: Path) -> Iterator[Any]:
    """Hand out a function that runs `python -m pipeline`, with a stack of its own in `home`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML", "DATASET"))}
    own |= {"PLANETS_HOME": str(home), "PLANETS_STACK": str(home / "stack")}
    with socket.create_server(("127.0.0.1", 0)) as api, socket.create_server(("127.0.0.1", 0)) as files:
        ports = [
            f"stack.{name}_port={used.getsockname()[1]}" for name, used in (("api", api), ("files", files))
        ]

    def call(*words: str, sets: dict[str, object] | None = None) -> None:
        pairs = [*ports, *(f"{key}={value}" for key, value in (sets or {}).items())]
        options = [part for pair in pairs for part in ("--set", pair)]
        subprocess.run([python, "-m", "pipeline", *words, *options], env=own, cwd=home, check=True)

    try:
        yield call
    finally:
        subprocess.run([python, "-m", "pipeline", "down"], env=own, cwd=home, check=True)


@dataclass(frozen=True)
class Bench:
    """One set of chips, unpacked, and a function that runs the pipeline's commands in `home`."""

    name: str
    data: Path
    home: Path
    folder: Path
    call: Any

    @property
    def real(self) -> RealSet:
        return SETS[self.name]


def run_ours(bench: Bench, chips: Chips, seed: int) -> list[Result]:
    """Run the whole pipeline, which makes the same split; read what it wrote."""
    real, home, data = bench.real, bench.home, bench.data
    weights = str(data / real.weights) if real.weights else ""
    entry = {
        "name": "network",
        "architecture": real.architecture,
        "pretrained": bool(weights),
        "weights": weights,
        "license": "apache-2.0" if weights else "none",
        "training": {"epochs": real.epochs, "image_size": real.size} | real.recipe,
    }
    entries = home / f"models-{real.folder}.yaml"
    entries.write_text(yaml.safe_dump([entry]))
    # Every run's bundle is wanted, and every run has its own split.
    sets = {"models": entries, "split.seed": seed, "training.seed": seed, "publish.when": "always"}
    # A worker that trains alone uses all cores, as the peers do.
    sets |= {"stack.workers.cpu": 1}
    bench.call("run", "--dataset-path", str(bench.folder), sets=sets | {"clearml.dataset": real.folder})
    output = home / "output"
    report = json.loads((output / "run.json").read_text())
    training = next(step for step in report["steps"] if step["name"] == "train_network")
    metrics = json.loads((output / "best" / "metrics.json").read_text())["test"]
    seen = len(chips.of("train")) * real.epochs
    scores = metrics["f2"], *metrics["f2_interval"], metrics["map"]
    return [Result(bench.name, OURS, seed, *scores, training["seconds"], seen)]


def run_peer(bench: Bench, chips: Chips, seed: int) -> list[Result]:
    """Train the network as people usually write it."""
    trained = train_peer(chips, bench.real.job(bench.data), seed, bench.home)
    scores = {part: peer_scores(trained.module, trained.loaders[part]) for part in ("valid", "test")}
    return [_peer_result(bench, PEER, chips, seed, scores, trained.ends[-1])]


def run_fastai_recipe(bench: Bench, chips: Chips, seed: int) -> list[Result]:
    """Train the network by fastai's recipe; score it without and with its test-time augmentation."""
    trained = run_fastai(chips, bench.real.job(bench.data), seed, bench.home)
    variants = {FASTAI: trained.plain, f"{FASTAI} with its TTA": trained.augmented}
    return [
        _peer_result(bench, program, chips, seed, scores, trained.seconds)
        for program, scores in variants.items()
    ]


def _peer_result(
    bench: Bench,
    program: str,
    chips: Chips,
    seed: int,
    scores: dict[str, NDArray[np.float32]],
    seconds: float,
) -> Result:
    """Score a peer on test, by thresholds from one grid for all peers."""
    valid, test = (chips.labels[chips.of(part)] for part in ("valid", "test"))
    cuts = grid_thresholds(valid, scores["valid"])
    seen = len(chips.of("train")) * bench.real.epochs
    return Result.of(bench.name, program, seed, test, scores["test"], cuts, seconds, seen)


PROGRAMS = {OURS: run_ours, PEER: run_peer, FASTAI: run_fastai_recipe}


def kept() -> list[Result]:
    """Return the results of earlier calls."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    return [Result(**row) for row in rows]


def keep(made: Sequence[Result]) -> None:
    """Add results, each in the place of an earlier one of its set, program and seed, and write the tables."""
    results = {(each.chips_set, each.program, each.seed): each for each in [*kept(), *made]}
    RESULTS.parent.mkdir(exist_ok=True)
    rows = [asdict(each) for each in results.values()]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    tables = [
        table(real, [each for each in results.values() if each.chips_set == name])
        for name, real in SETS.items()
        if any(each.chips_set == name for each in results.values())
    ]
    note = "The seed sets split and training. Machines differ in speed: compare seconds within a seed."
    text = "\n\n".join(["# Real chips", note, *tables])
    RESULTS.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


def table(real: RealSet, results: Sequence[Result]) -> str:
    """Return the table of a set: a row for each program and seed, and the means."""
    lines = [
        f"## {real.title}",
        "",
        f"{real.chips} labeled chips, 70 % for training, 15 % validation, 15 % test; {real.epochs} epochs. "
        f"Machines: {', '.join(sorted({each.machine for each in results}))}.",
        "",
        "| program | seed | test F2 (95 %) | mAP | training s | chips/s | date |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for program in dict.fromkeys(each.program for each in results):
        own = sorted((each for each in results if each.program == program), key=lambda each: each.seed)
        lines += [
            f"| {program} | {each.seed} | {each.f2:.4f} ({each.low:.4f} to {each.high:.4f}) "
            f"| {each.mean_ap:.3f} | {each.seconds:.0f} | {each.chips / each.seconds:.0f} | {each.date} |"
            for each in own
        ]
        if len(own) > 1:
            lines.append(
                f"| **{program}** | mean | **{statistics.mean(each.f2 for each in own):.4f}** "
                f"| {statistics.mean(each.mean_ap for each in own):.3f} "
                f"| {statistics.mean(each.seconds for each in own):.0f} | | |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--again", nargs="+", choices=PROGRAMS, default=[])
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="the interpreter that runs the pipeline"
    )
    asked = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    data = asked.data.resolve()
    for name in asked.sets:
        real = SETS[name]
        with ExitStack() as ends:
            work = Path(ends.enter_context(tempfile.TemporaryDirectory()))
            with tarfile.open(data / real.archive) as archive:
                archive.extractall(work, filter="data")
            home = work / "home"
            home.mkdir()
            call = ends.enter_context(pipeline(asked.python.absolute(), home))
            bench = Bench(name, data, home, work / real.folder, call)
            for seed in asked.seeds:
                chips = chips_of(bench.folder, seed)
                present = {each.program for each in kept() if (each.chips_set, each.seed) == (name, seed)}
                for program, run in PROGRAMS.items():
                    if program not in present or program in asked.again:
                        keep(run(bench, chips, seed))
    print(RESULTS.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
