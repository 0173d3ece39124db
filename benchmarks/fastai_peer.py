"""fastai's recipe on the chips of a benchmark: `vision_learner`, `fine_tune`, its transforms and its TTA."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import (
    BCEWithLogitsLossFlat,
    DataBlock,
    DataLoaders,
    ImageBlock,
    IndexSplitter,
    Learner,
    MultiCategoryBlock,
    Resize,
    aug_transforms,
    set_seed,
    vision_learner,
)
from numpy.typing import NDArray
from peer import BATCH, Chips, Job

from planets.synthetic.labels import LABELS


@dataclass
class FastaiScores:
    """Seconds of the training, and the scores of validation and test, `(N, 17)`, without and with TTA."""

    seconds: float
    plain: dict[str, NDArray[np.float32]]
    augmented: dict[str, NDArray[np.float32]]


def run_fastai(chips: Chips, job: Job, seed: int, folder: Path) -> FastaiScores:
    """Train as fastai's documentation does for this dataset; the frozen epoch counts as one of the epochs."""
    set_seed(seed)
    loaders = _loaders(chips, job, folder)
    overlay = {"pretrained_cfg_overlay": {"file": str(job.weights)}} if job.weights else {}
    learner = vision_learner(
        loaders,
        job.architecture,
        n_out=len(LABELS),
        pretrained=bool(job.weights),
        loss_func=BCEWithLogitsLossFlat(),
        path=folder,
        **overlay,
    )
    began = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        if job.weights:
            learner.fine_tune(job.epochs - 1)
        else:
            learner.unfreeze()
            learner.fit_one_cycle(job.epochs, 3e-3)
    seconds = time.perf_counter() - began
    return FastaiScores(seconds, *_scores(learner, chips))


def _loaders(chips: Chips, job: Job, folder: Path) -> DataLoaders:
    tags = [[LABELS[label] for label in np.flatnonzero(row)] for row in chips.labels]
    seen = np.flatnonzero(chips.parts != "test")
    block = DataBlock(
        blocks=(ImageBlock, MultiCategoryBlock(vocab=list(LABELS))),
        get_x=lambda row: chips.files[row],
        get_y=lambda row: tags[row],
        splitter=IndexSplitter(np.flatnonzero(chips.parts[seen] == "valid")),
        item_tfms=Resize(job.size),
        batch_tfms=aug_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.0),
    )
    return block.dataloaders(seen, path=folder, bs=BATCH, num_workers=2, device=torch.device("cpu"))


def _scores(learner: Learner, chips: Chips) -> tuple[dict[str, NDArray[np.float32]], ...]:
    loaders = {part: learner.dls.test_dl(chips.of(part)) for part in ("valid", "test")}
    with learner.no_bar():
        plain = {part: learner.get_preds(dl=loader)[0].numpy() for part, loader in loaders.items()}
        augmented = {part: learner.tta(dl=loader)[0].numpy() for part, loader in loaders.items()}
    return plain, augmented
