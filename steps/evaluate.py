"""Stage 5, once per model: fit thresholds on valid, score valid out of sample, touch test once."""


def evaluate_model(
    name: str,
    licence: str,
    train_id: str,
    dataset_id: str,
    split_id: str,
    split_seed: int,
    code_version: str,
) -> tuple[str, float, float, float, str]:
    """Return `(name, valid_f2, test_f2, constant_f2, model_id)`; the bundle is the artifact `bundle`.

    `valid_f2` is out of sample: thresholds fitted on one half of valid are scored on the other, in turn.
    `test_f2` is scored once, with thresholds fitted on all of valid. `constant_f2` is what the best
    prediction that looks at no chip scores on test.
    """
    import tempfile
    from pathlib import Path

    from planets.bundle import FIGURES, Bundle
    from planets.evaluation import evaluate
    from planets.fitted import Fitted
    from planets.report import save_figures
    from steps import tracking
    from steps.chips import open_store, read_chips
    from steps.code import require_code

    require_code("evaluate", code_version)
    model_id = tracking.require_completed(train_id).get_parameters()["return/model_id"]
    fitted = Fitted.load(tracking.model_weights(model_id))
    chips = read_chips(dataset_id)
    store = open_store(chips, fitted.image_size)
    found = evaluate(fitted, store, chips.labels, chips.parts(split_id), split_seed)
    bundle = Bundle.of(
        fitted,
        found.thresholds,
        found.report,
        found.scores,
        name=name,
        licence=licence,
        dataset_id=dataset_id,
        content_hash=chips.content,
        split_seed=split_seed,
        code_version=code_version,
    )
    with tempfile.TemporaryDirectory() as workdir:
        folder = Path(workdir) / "bundle"
        bundle.save(folder)
        figures = save_figures(folder / FIGURES, name, found, fitted, store)
        tracking.report_evaluation(found.report, figures)
        tracking.store_folder("bundle", folder)
    valid_f2, test_f2, constant_f2 = (found.report[part]["f2"] for part in ("valid", "test", "constant"))
    print(f"{name}: valid_f2 {valid_f2:.4f}, test_f2 {test_f2:.4f}, best constant {constant_f2:.4f}")
    return name, valid_f2, test_f2, constant_f2, model_id
