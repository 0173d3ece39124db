"""Stage 5, once per model: score valid and test, fit the decision on valid, look at test once."""


def evaluate_model(
    name: str,
    licence: str,
    settings: str,
    train_id: str,
    dataset_id: str,
    split_id: str,
    split_seed: int,
    code_version: str,
) -> tuple[str, float, float, float, str]:
    """Return `(name, valid_f2, test_f2, constant_f2, model_id)`.

    `settings` is JSON: which refinements are tried. `valid_f2` is out of sample: all that is chosen and
    fitted on one half of valid is scored on the other, in turn. `test_f2` is scored once, by the decision
    made on all of valid. `constant_f2` is what the best prediction that looks at no chip scores on test.
    Artifacts are `bundle`, `scores` (for the ensemble) and `per_chip` (F2 of each chip, for comparisons).
    """
    import json
    import tempfile
    from collections import Counter
    from pathlib import Path

    from planets.bundle.bundle import Bundle
    from planets.bundle.manifest import FIGURES
    from planets.bundle.torch_member import VERIFIED_CHIPS, TorchMember
    from planets.config.evaluation import EvaluationSettings
    from planets.evaluation.evaluation import evaluate
    from planets.evaluation.inference import score_model
    from planets.plots.evaluation import save_figures
    from planets.training.trained_model import TrainedModel
    from steps.clearml import task as tracking
    from steps.clearml.artifacts import store_arrays
    from steps.clearml.chips import open_store, read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.reports import report_evaluation, report_subject

    require_code("evaluate", code_version)
    chosen = EvaluationSettings.model_validate(json.loads(settings) | {"ensemble": False})
    model_id = tracking.trained_model(train_id)
    fitted = TrainedModel.load(tracking.model_weights(model_id))
    chips = read_chips(dataset_id)
    store = open_store(chips, fitted.image_size)
    parts = chips.parts(split_id)
    scores = score_model(fitted, store, chips.labels, parts, chosen.tta != "never")
    found = evaluate([scores], chosen, split_seed)
    bundle = Bundle.of(
        [TorchMember.create(fitted, name, licence, store.pixels[scores.valid.rows[:VERIFIED_CHIPS]])],
        found.decision,
        found.report,
        found.scores,
        name=name,
        dataset_id=dataset_id,
        source=chips.source,
        content_hash=chips.content,
        parts=dict(Counter(parts.tolist())),
        split_seed=split_seed,
        code_version=code_version,
    )
    store_arrays("scores", scores.to_arrays())
    store_arrays("per_chip", found.per_chip())
    report_subject(dataset_id, chips.content, found.per_chip())
    with tempfile.TemporaryDirectory() as workdir:
        folder = Path(workdir) / "bundle"
        bundle.save(folder)
        figures = save_figures(folder / FIGURES, name, found, store, fitted.history, fitted.best_epoch)
        report_evaluation(found.report, figures)
        tracking.store_folder("bundle", folder)
    print("\n".join(map(str, found.trials)))
    valid_f2, test_f2, constant_f2 = (found.report[part]["f2"] for part in ("valid", "test", "constant"))
    print(f"{name}: valid_f2 {valid_f2:.4f}, test_f2 {test_f2:.4f}, best constant {constant_f2:.4f}")
    return name, valid_f2, test_f2, constant_f2, model_id
