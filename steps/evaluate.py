"""Stage 5, once per model: score validation and test, fit the decision on validation, score test once."""


def evaluate_model(
    name: str,
    license: str,
    settings: str,
    train_id: str,
    dataset_id: str,
    label_set: str,
    split_id: str,
    split_seed: int,
    code_version: str,
) -> tuple[str, float, float, float, str]:
    """Return `(name, valid_f2, test_f2, constant_f2, model_id)`.

    `settings` and `label_set` are JSON: the refinements to try, and a `LabelSet`. `valid_f2` is cross-fitted:
    everything chosen and fitted here on one half of validation is scored on the other. It does not pay for
    the choice of the epoch, which the training made on all of validation. `test_f2` is scored once, by the
    decision fitted on all of validation. `constant_f2` is the score on test of the best prediction that looks
    at no chip.
    Artifacts are `bundle`, `scores` (for the ensemble), `per_chip` (F2 of each chip and the number of
    weights, for comparisons), and the tables `per_label` and `refinements`.
    """
    import json
    from collections import Counter

    from planets.bundle.bundle import Bundle
    from planets.bundle.torch_member import VERIFIED_CHIPS, TorchMember
    from planets.config.project import EvaluationSettings
    from planets.evaluation.evaluation import evaluate
    from planets.evaluation.inference import score_model
    from planets.labels import LabelSet
    from planets.training.trained_model import TrainedModel
    from steps.clearml.artifacts import store_arrays
    from steps.clearml.chips import open_store, read_chips
    from steps.clearml.code_version import require_code
    from steps.clearml.evaluation import store_evaluation
    from steps.clearml.models import model_weights, trained_model

    require_code("evaluate", code_version)
    evaluation_settings = EvaluationSettings.model_validate(json.loads(settings) | {"ensemble": False})
    model_id = trained_model(train_id)
    model = TrainedModel.load(model_weights(model_id))
    labels = LabelSet.model_validate_json(label_set)
    chips = read_chips(dataset_id, " ".join(labels.labels))
    store = open_store(chips, model.image_size)
    splits = chips.parts(split_id)
    tta = evaluation_settings.tta != "never"
    scores = score_model(model, store, chips.labels, labels.labels, splits, tta, print)
    store_arrays("scores", scores.to_arrays())
    evaluation = evaluate([scores], evaluation_settings, labels.groups, split_seed)
    member = TorchMember.create(model, name, license, store.pixels[scores.valid.rows[:VERIFIED_CHIPS]])
    bundle = Bundle.create(
        [member],
        evaluation.decision,
        evaluation.report,
        evaluation.scores,
        name=name,
        label_set=labels,
        dataset_id=dataset_id,
        source=chips.source,
        content_hash=chips.content,
        parts=dict(Counter(splits.tolist())),
        split_seed=split_seed,
        code_version=code_version,
    )
    weights = sum(tensor.numel() for tensor in model.weights.values())
    return store_evaluation(evaluation, bundle, store, model_id, model.history, model.best_epoch, weights)
