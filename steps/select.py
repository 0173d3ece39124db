"""Stage 7: select the best candidate by `valid_f2`, compare it with the others, and publish it if due."""


def select_best(
    candidates: str,
    champion: str,
    when: str,
    seed: int,
    code_version: str,
) -> tuple[str, float, float, str, str, str, str]:
    """Return `(name, valid_f2, test_f2, model_id, evaluate_id, comparisons, publication)` of the best model.

    Args:
        candidates: `name=evaluation_task_id`, separated by spaces; evaluations that did not complete are left
            out. One string, so that the signature does not depend on the number of models.
        champion: evaluation of the model published for the same test chips, or empty.
        when: rule by which the best replaces it, see `steps.clearml.publication.decide`.
        seed: of the comparisons.
        code_version: digest of the code that the result depends on.

    Returns:
        `comparisons` and `publication` are JSON: the lead of the best over each other candidate on `valid`
        (which selected it) and on `test`, and the fields of a `Publication`.

    Raises:
        NothingToSelect: no evaluation completed.
    """
    import json

    from planets.config.project import ENSEMBLE
    from planets.metrics.significance import Comparison, compare
    from steps.clearml.artifacts import load_arrays
    from steps.clearml.code_version import require_code
    from steps.clearml.models import NothingToSelect, completed_of, evaluation_of
    from steps.clearml.publication import decide, publish
    from steps.clearml.reports import report_comparisons

    require_code("select", code_version)
    evaluations = [evaluation_of(task_id) for task_id in completed_of(candidates).values()]
    evaluations = [evaluation for evaluation in evaluations if evaluation.model_id]
    if not evaluations:
        raise NothingToSelect(f"no evaluation among {candidates!r} completed, so there is no best model")
    # Ties go to a single model, which is cheaper to serve than an ensemble.
    evaluations.sort(
        key=lambda evaluation: (-evaluation.valid_f2, evaluation.name == ENSEMBLE, evaluation.name)
    )
    best, *others = evaluations
    per_chip = {evaluation.name: load_arrays(evaluation.task_id, "per_chip") for evaluation in evaluations}

    def compared(name: str, part: str) -> Comparison:
        return compare(per_chip[best.name][f"{part}_f2"], per_chip[name][f"{part}_f2"], seed)

    comparisons = {
        other.name: {part: compared(other.name, part)._asdict() for part in ("valid", "test")}
        for other in others
    }
    for evaluation in evaluations:
        print(f"{evaluation.name:24} valid_f2 {evaluation.valid_f2:.4f}  test_f2 {evaluation.test_f2:.4f}")
    for name, parts in comparisons.items():
        for part, values in parts.items():
            print(f"{best.name} better than {name} on {part}: {Comparison(**values)}")
    report_comparisons(best.name, comparisons)
    publication = decide(best, champion, when, seed)
    if publication.published:
        publish(best)
    print(f"best is {best.name}: model {best.model_id}; {publication.why}")
    return (
        best.name,
        best.valid_f2,
        best.test_f2,
        best.model_id,
        best.task_id,
        json.dumps(comparisons),
        json.dumps(publication._asdict()),
    )
