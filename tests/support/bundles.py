"""Bundles as the evaluation makes them, of untrained networks, for tests that use models."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from support.synthetic import make_labels, make_parts, make_pixels

from planets.bundle.bundle import Bundle
from planets.bundle.torch_member import TorchMember
from planets.chips.store import ChipStore
from planets.config.project import EvaluationSettings
from planets.evaluation.evaluation import Evaluation, evaluate
from planets.evaluation.inference import score_model
from planets.synthetic.labels import LABELS, PLANETS
from planets.training.model import create
from planets.training.trained_model import TrainedModel

COUNT = 80
TARGETS, PARTS = make_labels(COUNT), make_parts(COUNT)
ORIGIN = {
    "name": "tiny",
    "label_set": PLANETS,
    "dataset_id": "d1",
    "source": "sample",
    "content_hash": "abc",
    "parts": {"train": 48, "valid": 16, "test": 16},
    "split_seed": 42,
    "code_version": "c0de",
}
NAMES = ("tta", "weather_rule")
PLAIN, WHOLE = (
    EvaluationSettings.model_validate(dict.fromkeys(NAMES, each) | {"ensemble": True})
    for each in ("never", "always")
)
SIZES = {"small": 32, "large": 48}

Made = tuple[Bundle, Evaluation, list[tuple[str, Path]]]


@cache
def network(seed: int, size: int, architecture: str = "test_resnet") -> TrainedModel:
    """Untrained, but with a head whose scores are spread like those of a trained one."""
    torch.manual_seed(seed)
    made = create(architecture, 17)
    with torch.no_grad():
        made.get_classifier().weight *= 20
    weights = {key: value.clone() for key, value in made.state_dict().items()}
    return TrainedModel(weights, architecture, LABELS, size, (0.3,) * 3, (0.1,) * 3, "map", 0.5, 1, [])


@cache
def member(name: str, seed: int, size: int) -> TorchMember:
    return TorchMember.create(network(seed, size), name, "none", make_pixels(TARGETS[:4], size))


def make(files: list[tuple[str, Path]], sizes: dict[str, int], settings: EvaluationSettings) -> Made:
    """A bundle of one network a size, judged on `files`, which are `TARGETS`' chips."""
    seeds = {name: seed for seed, name in enumerate(sizes)}
    cache = files[0][1].parents[1] / "cache"
    scores = [
        score_model(
            network(seeds[name], size),
            ChipStore.open(cache, "hash", size, files),
            TARGETS,
            LABELS,
            PARTS,
            True,
        )
        for name, size in sizes.items()
    ]
    found = evaluate(scores, settings, PLANETS.groups)
    names = [list(sizes)[place] for place in found.members]
    members = [member(name, seeds[name], sizes[name]) for name in names]
    return Bundle.create(members, found.decision, found.report, found.scores, **ORIGIN), found, files


def rows_of_test() -> NDArray[np.int64]:
    """Where the test chips are among the files."""
    return np.flatnonzero(PARTS == "test")
