"""Stage 5, once per model: fit thresholds on valid, score valid out of sample, touch test once."""


def evaluate_model(
    name: str,
    train_id: str,
    dataset_id: str,
    split_id: str,
    split_seed: int,
    code_version: str,
) -> tuple[str, float, float, str]:
    """Return `(name, valid_f2, test_f2, model_id)`; the bundle is this task's artifact `bundle`.

    `valid_f2` is out of sample: thresholds fitted on one half of valid are scored on the other, in turn.
    `test_f2` is scored once, with thresholds fitted on all of valid.
    """

    from steps import tracking
    from steps.code import require_code

    require_code("evaluate", code_version)
    model_id = tracking.require_completed(train_id).get_parameters()["return/model_id"]
    ...
