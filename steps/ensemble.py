"""Stage 6: the evaluated models combined, as one more candidate; no network runs here."""


def evaluate_ensemble(
    candidates: str,
    settings: str,
    dataset_id: str,
    label_set: str,
    split_id: str,
    split_seed: int,
    code_version: str,
) -> tuple[str, float, float, float, str]:
    """Return `(name, valid_f2, test_f2, constant_f2, model_id)`, as an evaluation does.

    `candidates` is `name=evaluation_task_id`, separated by spaces. Evaluations that did not complete are
    skipped; with fewer than two left there is nothing to average, and `name` and `model_id` are empty.
    `label_set` is JSON, a `LabelSet`. `split_id` is for the registry, which names the test chips by it.
    The registered model is the zipped bundle. Artifacts are those of an evaluation, without `scores`.
    """
    import json

    from planets.bundle.bundle import Bundle
    from planets.bundle.onnx_member import OnnxMember
    from planets.config.project import ENSEMBLE, EvaluationSettings
    from planets.evaluation.evaluation import evaluate
    from planets.evaluation.scores import ModelScores
    from planets.labels import LabelSet
    from steps.clearml.artifacts import artifact_file, load_arrays
    from steps.clearml.chips import open_store, read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.evaluation import store_evaluation
    from steps.clearml.models import completed_of

    require_code("ensemble", code_version)
    completed = completed_of(candidates)
    if len(completed) < 2:
        print("fewer than two models were evaluated: there is nothing to average")
        return "", 0.0, 0.0, 0.0, ""
    evaluation_settings = EvaluationSettings.model_validate(json.loads(settings) | {"ensemble": True})
    scores = [ModelScores.from_arrays(load_arrays(task_id, "scores")) for task_id in completed.values()]
    labels = LabelSet.model_validate_json(label_set)
    evaluation = evaluate(scores, evaluation_settings, labels.groups, split_seed)
    names = [list(completed)[index] for index in evaluation.members]
    folders = [artifact_file(completed[name], "bundle") for name in names]
    singles = [Bundle.load(folder, OnnxMember.load) for folder in folders]
    shares = dict(zip(names, evaluation.decision.shares, strict=True))
    print("shares: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))
    chips = read_chips(dataset_id, " ".join(labels.labels))
    bundle = Bundle.create(
        [single.members[0] for single in singles],
        evaluation.decision,
        evaluation.report | {"shares": shares},
        evaluation.scores,
        name=ENSEMBLE,
        label_set=labels,
        dataset_id=dataset_id,
        source=chips.source,
        content_hash=chips.content,
        parts=singles[0].info.parts,
        split_seed=split_seed,
        code_version=code_version,
    )
    return store_evaluation(evaluation, bundle, open_store(chips, bundle.sizes[-1]))
