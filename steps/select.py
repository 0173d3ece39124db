"""Stage 7: choose the best candidate by `valid_f2`, compare it with the others, publish it if it is due."""


def select_best(
    candidates: str,
    champion: str,
    when: str,
    seed: int,
    code_version: str,
) -> tuple[str, float, float, str, str, str, str]:
    """Return `(name, valid_f2, test_f2, model_id, evaluate_id, comparisons, publication)` of the best.

    `candidates` is `name=evaluation_task_id`, separated by spaces: one string, so that the signature does not
    depend on how many models a run has. Evaluations that did not complete are passed over. `comparisons` is
    JSON: for each other candidate, how much better the best is on `valid`, which chose it, and on `test`.
    `champion` is the evaluation of the model that is published for the same test chips, or empty. By `when`
    the best takes its place or does not; `publication` is JSON, see `steps.clearml.publication`. `seed` is
    of the comparisons.

    Raises:
        NothingToSelect: none of them completed.
    """
    import json

    from planets.config.evaluation import ENSEMBLE
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
        raise NothingToSelect(f"none of {candidates!r} was evaluated, so there is no best model")
    # Of equals the one that is cheaper to use.
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
    told = json.dumps(publication._asdict())
    return best.name, best.valid_f2, best.test_f2, best.model_id, best.task_id, json.dumps(comparisons), told
