"""The common end of `evaluate` and `ensemble`: the result of an evaluation, stored with its task."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from clearml import Model

from planets.bundle.bundle import Bundle
from planets.bundle.manifest import FIGURES
from planets.chips.store import ChipStore
from planets.evaluation.evaluation import Evaluation
from planets.plots.evaluation import save_figures
from steps.clearml.artifacts import store_arrays
from steps.clearml.models import note_scores, register_model
from steps.clearml.reports import report_evaluation, report_figures, report_subject
from steps.clearml.uploads import upload_artifact


def store_evaluation(
    evaluation: Evaluation,
    bundle: Bundle,
    store: ChipStore,
    model_id: str = "",
    history: Sequence[Mapping[str, float]] = (),
    best_epoch: int = 0,
    weights: int = 0,
) -> tuple[str, float, float, float, str]:
    """Store an evaluation with this task: artifacts, scores, tables and figures.

    The scores are kept with the model too, unless it is published: those of a publication stay.

    Args:
        evaluation: the result.
        bundle: the model with its decision, as it will be served.
        store: the evaluated chips.
        model_id: the registered model; empty: the zipped bundle is registered as this task's model.
        history: metrics of each epoch, if the model has a training of its own.
        best_epoch: epoch of the checkpoint that was kept.
        weights: number of weights of a single network, by which comparisons know the smaller one.

    Returns:
        `(name, valid_f2, test_f2, constant_f2, model_id)`, the return of the steps.
    """
    info = bundle.info
    per_chip = evaluation.per_chip()
    store_arrays("per_chip", per_chip | ({"weights": np.array(weights)} if weights else {}))
    report_subject(info.dataset_id, info.content_hash, per_chip)
    with tempfile.TemporaryDirectory() as workdir:
        folder = Path(workdir) / "bundle"
        bundle.save(folder)
        model_id = model_id or _register_bundle(bundle, folder)
        figures = save_figures(
            folder / FIGURES, info.name, evaluation, info.label_set, store, history, best_epoch
        )
        report_evaluation(info.name, bundle.metrics)
        report_figures(figures, "evaluation")
        upload_artifact("bundle", folder)
    for trial in evaluation.trials:
        print(trial)
    valid_f2, test_f2, constant_f2 = (evaluation.report[key]["f2"] for key in ("valid", "test", "constant"))
    if not (model := Model(model_id)).published:
        note_scores(model, valid_f2, test_f2)
    print(f"{info.name}: valid_f2 {valid_f2:.4f}, test_f2 {test_f2:.4f}, best constant {constant_f2:.4f}")
    return info.name, valid_f2, test_f2, constant_f2, model_id


def _register_bundle(bundle: Bundle, folder: Path) -> str:
    name = bundle.info.name
    archive = Path(shutil.make_archive(str(folder.with_name(name)), "zip", folder))
    settings: dict[str, object] = {"shares": bundle.metrics["shares"]}
    return register_model(name, archive, settings, bundle.info.labels)
