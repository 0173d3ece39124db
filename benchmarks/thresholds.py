"""Thresholds fitted on few chips: those that are best on them, against ours, scored on other chips.

    python benchmarks/thresholds.py SCORES [--draws 20]

SCORES is the artifact `scores` of an evaluation (its page, Artifacts). Its validation and test chips are put
together; each draw takes some of them to fit on and scores the rest.
"""

import argparse
from pathlib import Path

import numpy as np

from planets.decision.thresholds import apply_thresholds, best_thresholds, fit_thresholds
from planets.evaluation.scores import ModelScores
from planets.metrics.f2 import f2_score

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
LEAST_LEFT = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    asked = parser.parse_args()
    with np.load(asked.scores, allow_pickle=False) as arrays:
        scored = ModelScores.from_arrays(arrays)
    parts = scored.valid, scored.test
    targets = np.concatenate([part.targets for part in parts])
    scores = np.concatenate([part.select(part.augmented is not None) for part in parts])
    print(f"{'fitted on':>9}  best on them  ours    gain     better in")
    for size in SIZES:
        if size + LEAST_LEFT > len(targets):
            break
        found = []
        for draw in range(asked.draws):
            order = np.random.default_rng(draw).permutation(len(targets))
            drawn, rest = order[:size], order[size:]
            thresholds = (fit(targets[drawn], scores[drawn]) for fit in (best_thresholds, fit_thresholds))
            found.append(
                [f2_score(targets[rest], apply_thresholds(scores[rest], each)) for each in thresholds]
            )
        best, ours = np.transpose(found)
        better = f"{(ours > best).sum()} of {asked.draws}"
        print(
            f"{size:>9,}  {best.mean():.4f}        {ours.mean():.4f}  {(ours - best).mean():+.4f}  {better}"
        )


if __name__ == "__main__":
    main()
