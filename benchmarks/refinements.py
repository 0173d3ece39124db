"""What each refinement of the evaluation brings on the test part, to the models of a run on this machine.

    python benchmarks/refinements.py .stack/server/files

Takes the scores that the evaluations of the last runs left on the embedded server. Looks at test many times:
for documentation, never for a choice.
"""

import sys
import time
from pathlib import Path

import numpy as np

from planets.config.evaluation import EvaluationSettings
from planets.evaluation.evaluation import evaluate
from planets.evaluation.scores import ModelScores
from planets.metrics.significance import compare

NAMES = ("tta", "calibration", "decoding", "weather_rule")
TRIED = {
    "thresholds alone": (),
    "+ tta": ("tta",),
    "+ calibration": ("calibration",),
    "+ decoding": ("decoding",),
    "+ weather_rule": ("weather_rule",),
    "+ tta, decoding": ("tta", "decoding"),
    "+ all but the weather": ("tta", "calibration", "decoding"),
}
SEED = 42


def settings(**asked):
    return EvaluationSettings.model_validate(dict.fromkeys(NAMES, "never") | asked | {"ensemble": True})


def newest(files):
    """The newest scores of each model, by the name of the step that made them."""
    found = {}
    for file in sorted(files.rglob("scores.npz"), key=lambda file: file.stat().st_mtime):
        step = next(part for part in file.parts if part.startswith("evaluate_"))
        with np.load(file, allow_pickle=False) as opened:
            found[step.removeprefix("evaluate_").partition(".")[0]] = ModelScores.from_arrays(opened)
    return found


def rows(name, models):
    tried = {what: settings(**dict.fromkeys(on, "always")) for what, on in TRIED.items()}
    tried["auto"] = settings(**dict.fromkeys(NAMES, "auto"))
    plain = evaluate(models, tried["thresholds alone"], SEED)
    for what, asked in tried.items():
        began = time.perf_counter()
        found = evaluate(models, asked, SEED)
        seconds = time.perf_counter() - began
        test, scores = found.report["test"], found.scores
        gain = compare(found.test.f2, plain.test.f2, SEED)
        print(
            f"| {name} | {what} | {scores['valid_f2']:.4f} | {test['f2']:.4f} | {test['map']:.4f} "
            f"| {test['log_loss']:.4f} | {gain} | {seconds:.1f} |"
        )


if __name__ == "__main__":
    models = newest(Path(sys.argv[1]))
    print("| model | decision | valid F2 | test F2 | test mAP | log loss | gain on test | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, scores in models.items():
        rows(name, [scores])
    rows("ensemble", list(models.values()))
