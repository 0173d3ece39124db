"""Stage 6: choose the best evaluated model by `valid_f2`, and publish it in the model registry."""


def select_best(candidates: str, code_version: str) -> tuple[str, float, float, str, str]:
    """Return `(name, valid_f2, test_f2, model_id, evaluate_id)` of the best of `candidates`.

    `candidates` is `name=evaluation_task_id`, separated by spaces: one string, so that the signature does not
    depend on how many models a run has. Evaluations that did not complete are passed over.

    Raises:
        NothingToSelect: none of them completed.
    """
    from clearml import Model

    from steps import tracking
    from steps.code import require_code
    from steps.errors import NothingToSelect, ParentFailed

    require_code("select", code_version)
    verdicts = []
    for candidate in candidates.split():
        name, task_id = candidate.split("=")
        try:
            verdicts.append(tracking.verdict_of(task_id))
        except ParentFailed as error:
            print(f"{name} is passed over: {error}")
    if not verdicts:
        raise NothingToSelect(f"none of {candidates!r} was evaluated, so there is no best model")

    verdicts.sort(key=lambda verdict: (-verdict.valid_f2, verdict.name))
    for verdict in verdicts:
        print(f"{verdict.name:24} valid_f2 {verdict.valid_f2:.4f}  test_f2 {verdict.test_f2:.4f}")
    best = verdicts[0]
    model = Model(best.model_id)
    model.set_metadata("valid_f2", f"{best.valid_f2:.6f}", "float")
    model.set_metadata("test_f2", f"{best.test_f2:.6f}", "float")
    model.publish()
    print(f"best is {best.name}: model {best.model_id} is published")
    return best.name, best.valid_f2, best.test_f2, best.model_id, best.task_id
