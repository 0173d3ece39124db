"""Stage 6: the evaluated models together, as one more candidate; no network runs here."""


def evaluate_ensemble(
    candidates: str,
    settings: str,
    dataset_id: str,
    split_id: str,
    split_seed: int,
    code_version: str,
) -> tuple[str, float, float, float, str]:
    """Return `(name, valid_f2, test_f2, constant_f2, model_id)`, as an evaluation does.

    `candidates` is `name=evaluation_task_id`, separated by spaces. Evaluations that did not complete are
    passed over; with fewer than two left there is nothing to average, and `name` and `model_id` are empty.
    `split_id` is for the registry, which names the test chips by it.
    The registered model is the bundle, zipped. Artifacts are `bundle` and `per_chip`.
    """
    import json
    import shutil
    import tempfile
    from pathlib import Path

    from planets.bundle.bundle import Bundle
    from planets.bundle.manifest import FIGURES
    from planets.bundle.onnx_member import OnnxMember
    from planets.config.evaluation import ENSEMBLE, EvaluationSettings
    from planets.evaluation.evaluation import evaluate
    from planets.evaluation.scores import ModelScores
    from planets.plots.evaluation import save_figures
    from steps.clearml import task as tracking
    from steps.clearml.artifacts import load_arrays, store_arrays
    from steps.clearml.chips import open_store, read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.reports import report_evaluation, report_subject, report_table

    require_code("ensemble", code_version)
    completed = tracking.completed_of(candidates)
    if len(completed) < 2:
        print("fewer than two models were evaluated: there is nothing to average")
        return "", 0.0, 0.0, 0.0, ""
    chosen = EvaluationSettings.model_validate(json.loads(settings) | {"ensemble": True})
    scores = [ModelScores.from_arrays(load_arrays(task_id, "scores")) for task_id in completed.values()]
    found = evaluate(scores, chosen, split_seed)
    names = [list(completed)[place] for place in found.members]
    folders = [tracking.artifact_file(completed[name], "bundle") for name in names]
    singles = [Bundle.load(folder, OnnxMember.load) for folder in folders]
    shares = dict(zip(names, found.decision.shares, strict=True))
    print("shares: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))
    chips = read_chips(dataset_id)
    bundle = Bundle.of(
        [single.members[0] for single in singles],
        found.decision,
        found.report | {"shares": shares},
        found.scores,
        name=ENSEMBLE,
        dataset_id=dataset_id,
        source=chips.source,
        content_hash=chips.content,
        parts=singles[0].info.parts,
        split_seed=split_seed,
        code_version=code_version,
    )
    store_arrays("per_chip", found.per_chip())
    report_subject(dataset_id, chips.content, found.per_chip())
    with tempfile.TemporaryDirectory() as workdir:
        folder = Path(workdir) / "bundle"
        bundle.save(folder)
        weights = Path(shutil.make_archive(str(Path(workdir) / ENSEMBLE), "zip", folder))
        model_id = tracking.register_model(ENSEMBLE, weights, {"shares": shares}, found.labels)
        figures = save_figures(folder / FIGURES, ENSEMBLE, found, open_store(chips, bundle.sizes[-1]))
        report_evaluation(found.report, figures)
        report_table("shares", ENSEMBLE, [["model", "share"], *map(list, shares.items())])
        tracking.store_folder("bundle", folder)
    print("\n".join(map(str, found.trials)))
    valid_f2, test_f2, constant_f2 = (found.report[part]["f2"] for part in ("valid", "test", "constant"))
    print(f"{ENSEMBLE}: valid_f2 {valid_f2:.4f}, test_f2 {test_f2:.4f}")
    return ENSEMBLE, valid_f2, test_f2, constant_f2, model_id
