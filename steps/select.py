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
        champion: evaluation of the model published for the same chips, or empty.
        when: rule by which the best replaces it, see `steps.clearml.publication.decide`.
        seed: of the comparisons.
        code_version: digest of the code that the result depends on.

    Returns:
        `comparisons` and `publication` are JSON: the `Lead` of the best over each other candidate, and the
        fields of a `Publication`. The best has the highest `valid_f2`, except that an ensemble must be
        significantly better on validation than the best single network. Test decides nothing.

    Raises:
        NothingToSelect: no evaluation completed.
    """
    import json

    from planets.config.project import ENSEMBLE
    from planets.metrics.significance import lead, smaller_equals
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
    evaluations.sort(
        key=lambda evaluation: (-evaluation.valid_f2, evaluation.name == ENSEMBLE, evaluation.name)
    )
    per_chip = {evaluation.name: load_arrays(evaluation.task_id, "per_chip") for evaluation in evaluations}
    for evaluation in evaluations:
        print(f"{evaluation.name:24} valid_f2 {evaluation.valid_f2:.4f}  test_f2 {evaluation.test_f2:.4f}")
    best, preferred = evaluations[0], ""
    singles = [evaluation for evaluation in evaluations if evaluation.name != ENSEMBLE]
    if best.name == ENSEMBLE and singles:
        gain = lead(per_chip[ENSEMBLE], per_chip[singles[0].name], seed).valid
        # A single network is cheaper to serve, so a share of noise must not decide for the ensemble.
        if not gain.better:
            best = singles[0]
            preferred = f"the ensemble is not significantly better than {best.name} on validation: {gain}"
    leads = {
        other.name: lead(per_chip[best.name], per_chip[other.name], seed)
        for other in evaluations
        if other is not best
    }
    for name, ahead in leads.items():
        print(f"{best.name} better than {name} on validation: {ahead.valid}; on test: {ahead.test}")
    if note := smaller_equals(best.name, leads):
        print(note)
    report_comparisons(best.name, leads)
    publication = decide(best, champion, when, seed)
    if preferred:
        publication = publication._replace(why=f"{publication.why}; {preferred}")
    if publication.published:
        publish(best)
    print(f"best is {best.name}: model {best.model_id}; {publication.why}")
    return (
        best.name,
        best.valid_f2,
        best.test_f2,
        best.model_id,
        best.task_id,
        json.dumps({name: ahead.document() for name, ahead in leads.items()}),
        json.dumps(publication._asdict()),
    )
