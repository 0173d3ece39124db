"""Publication of a run's best model, which must beat the model published before."""

from datetime import UTC, datetime
from typing import NamedTuple

from clearml import Model, Task

from planets.metrics.significance import ALPHA, Lead, lead
from planets.system import short_id
from steps.clearml.artifacts import load_arrays
from steps.clearml.errors import StepError
from steps.clearml.models import Evaluation, evaluation_of, note_scores
from steps.clearml.task import current_task


class Publication(NamedTuple):
    """Outcome for a run's best model in the model registry.

    Attributes:
        published: True if this run publishes it.
        why: the reason, in one line; if an ensemble leads, also why a single network is preferred to it.
        rival: name of the model published before for the same chips; empty for the first one.
        rival_model_id: its id.
        rival_run_id: the run that evaluated it.
        compared: fields of the `Comparison` of F2 on validation, which decides; None without a comparison.
        on_test: likewise on test, which decides nothing.
        rival_evaluate_id: the task that holds its bundle.
    """

    published: bool
    why: str
    rival: str = ""
    rival_model_id: str = ""
    rival_run_id: str = ""
    compared: dict[str, float] | None = None
    on_test: dict[str, float] | None = None
    rival_evaluate_id: str = ""


def decide(best: Evaluation, champion: str, when: str, seed: int) -> Publication:
    """Compare `best` with the evaluation `champion` on validation, and decide by the rule `when`.

    `better` publishes a significantly better model, `higher` one with a higher F2, `always` every one.
    """
    if not champion:
        return Publication(True, "published: no model was published for these chips before")
    rival = evaluation_of(champion)
    run_id = str(Task.get_task(task_id=champion).parent or "")
    unchanged = Publication(
        published=False,
        why="it is the published best already",
        rival=rival.name,
        rival_model_id=rival.model_id,
        rival_run_id=run_id,
        rival_evaluate_id=champion,
    )
    if champion == best.task_id:
        return unchanged
    try:
        first, second = (load_arrays(task_id, "per_chip") for task_id in (best.task_id, champion))
    except StepError as error:
        why = f"published: it could not be compared with {rival.name}, published before ({error})"
        return unchanged._replace(published=True, why=why)
    ahead = lead(first, second, seed)
    compared = ahead.valid
    wins = {"better": compared.better, "higher": compared.difference > 0, "always": True}[when]
    why = _won(rival, run_id, ahead) if wins else _lost(rival, run_id, ahead, when)
    return unchanged._replace(
        published=wins, why=why, compared=compared._asdict(), on_test=ahead.test._asdict()
    )


def _won(rival: Evaluation, run_id: str, ahead: Lead) -> str:
    return f"published in place of {rival.name} of run {short_id(run_id)}: {_gains(ahead)}"


def _lost(rival: Evaluation, run_id: str, ahead: Lead, when: str) -> str:
    needed = f"p < {ALPHA} and a higher F2 are needed" if when == "better" else "a higher F2 is needed"
    return (
        f"not published: the published best remains {rival.name} of run {short_id(run_id)}; "
        f"this one is {_gains(ahead)} ({needed} on validation)"
    )


def _gains(ahead: Lead) -> str:
    return f"{ahead.valid} on the same validation chips; on test, which decides nothing, {ahead.test}"


def publish(best: Evaluation) -> None:
    """Publish a model, with its scores, its evaluation and the time as metadata.

    Dataset and split identify the chips.
    """
    evaluation = Task.get_task(task_id=best.task_id).get_parameters()
    model = Model(best.model_id)
    note_scores(model, best.valid_f2, best.test_f2)
    facts = {
        "dataset_id": evaluation["kwargs/dataset_id"],
        "split_id": evaluation["kwargs/split_id"],
        "evaluate_id": best.task_id,
        "select_id": current_task().id,
        "published": datetime.now(UTC).isoformat(),
    }
    for name, value in facts.items():
        model.set_metadata(name, value, "str")
    model.publish()
