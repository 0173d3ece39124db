"""The DAG, and the `main` by which an agent runs it as the controller's task."""

import json
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from clearml import PipelineController

from pipeline.api import Api
from pipeline.config.parameters import CODE, CONFIG, DESCRIPTIONS, Run
from pipeline.dag.explain import LOST
from pipeline.dag.incumbent import name_champion
from pipeline.dag.launch import WORKER_LOST
from pipeline.dag.reasons import Reasons
from pipeline.dag.webhook import tell_failure, tell_new_best
from pipeline.errors import PipelineError
from pipeline.runs.state import GOOD
from pipeline.runs.stop import stop_steps
from planets.errors import PlanetsError
from steps.clearml.code_version import STAGES, code_of
from steps.ensemble import evaluate_ensemble
from steps.evaluate import evaluate_model
from steps.ingest import ingest_chips
from steps.register import register_dataset
from steps.select import select_best
from steps.split import split_chips
from steps.train import train_model


def build(pipe: PipelineController, run: Run) -> PipelineController:
    """Add the DAG of `run` to `pipe`.

    ::

        ingest -> register -> split -> train_a -> evaluate_a -> ensemble -> select
                                    -> train_b -> evaluate_b ->
    """
    queues = run.config.queues
    refresh = run.refresh - _completed(pipe)
    add = _adder(pipe, refresh, run.config.clearml.output_uri, Reasons(Api(), pipe.task, run.refresh))
    add("ingest", ingest_chips, queues.data, [], run.ingest(pipe.id))
    add("register", register_dataset, queues.data, ["ingest"], run.register())
    add("split", split_chips, queues.data, ["register"], run.split())
    for entry in run.models:
        train, evaluate = f"train_{entry.name}", f"evaluate_{entry.name}"
        add(train, train_model, queues.train, ["split"], run.train(entry), GOES_ON)
        add(evaluate, evaluate_model, queues.evaluate, [train], run.evaluate(entry), GOES_ON)
    evaluations = [f"evaluate_{entry.name}" for entry in run.models]
    if run.averages:
        add("ensemble", evaluate_ensemble, queues.evaluate, evaluations, run.ensemble(), GOES_ON)
        evaluations = [*evaluations, "ensemble"]
    add("select", select_best, queues.data, evaluations, run.select())
    return pipe


RETURNS: dict[Callable[..., Any], list[str]] = {
    ingest_chips: ["dataset_id", "content_hash", "chips"],
    register_dataset: ["dataset_id"],
    split_chips: ["split_id", "counts"],
    train_model: ["model_id", "score"],
    evaluate_model: ["name", "valid_f2", "test_f2", "constant_f2", "model_id"],
    evaluate_ensemble: ["name", "valid_f2", "test_f2", "constant_f2", "model_id"],
    select_best: ["name", "valid_f2", "test_f2", "model_id", "evaluate_id", "comparisons", "publication"],
}
"""The names of what each step returns, in order; children and the verdict read `return/<name>`."""

POLL_MINUTES = 0.01
"""Time between two looks at the steps; ClearML's default of 0.2 minutes costs 12 s a transition."""

ABORT_SECONDS = 30.0
"""How long the controller of an aborted run may take to stop its steps."""

RETRIES = 3
"""How often a step whose worker was lost is put back on its queue, to go on from its checkpoint."""

ONLY_WHAT_STEPS_REPORT = dict.fromkeys(
    ("pytorch", "matplotlib", "joblib", "scikit", "tensorboard", "detect_repository"), False
)
"""Framework hooks are off: they would register every checkpoint as a model of its own."""

GOES_ON = {
    "continue_on_fail": True,
    "continue_on_abort": True,
    "skip_children_on_fail": False,
    "skip_children_on_abort": False,
}
"""One model's failure is not the run's: its children start, look at their parent, and say what it was."""


def _adder(
    pipe: PipelineController, refresh: frozenset[str], output_uri: str, reasons: Reasons
) -> Callable[..., None]:
    """A short way to say `pipe.add_function_step` with what is the same for every step."""

    def add(
        name: str,
        function: Callable[..., Any],
        queue: str,
        parents: Sequence[str],
        parameters: dict[str, Any],
        continue_behaviour: dict[str, bool] | None = None,
    ) -> None:
        pipe.add_function_step(
            name=name,
            function=function,
            function_kwargs=parameters,
            function_return=RETURNS[function],
            parents=list(parents),
            execution_queue=queue,
            output_uri=output_uri or None,
            cache_executed_step=name not in refresh,
            packages=[],
            auto_connect_frameworks=ONLY_WHAT_STEPS_REPORT,
            auto_connect_arg_parser=False,
            continue_behaviour=continue_behaviour,
            pre_execute_callback=name_champion if function is select_best else None,
            status_change_callback=reasons.begun,
            retry_on_failure=worker_was_lost,
        )

    def worker_was_lost(_pipe: PipelineController, node: PipelineController.Node, retries: int) -> bool:
        """Whether a failed step is worth another try: not if its own code raised, that would happen again."""
        task = node.job.task
        task.reload()
        lost = WORKER_LOST in str(task.data.status_reason or "") and retries < RETRIES
        if lost:
            # ClearML keeps no history of a task's workers; the tag tells of it in every page.
            task.add_tags([f"{LOST}{task.data.last_worker}"])
            reasons.note(node)
        return lost

    return add


def _completed(pipe: PipelineController) -> set[str]:
    """The steps that completed when this run was tried before: a refresh that was asked for has been done."""
    found = Api().call(
        "tasks.get_all",
        parent=pipe.id,
        status=["completed", "published"],
        only_fields=["name"],
        search_hidden=True,
    )["tasks"]
    return {task["name"] for task in found}


def main() -> None:
    """Run as the controller: read the run from the task, build the DAG, see it through, judge it.

    Exits with 1 when a step neither completed nor came from the cache: ClearML's own verdict overlooks steps
    that failed before others, and a crash of the controller's thread.
    """
    pipe = PipelineController(
        name="", project="", pool_frequency=POLL_MINUTES, skip_global_imports=True, add_run_number=False
    )
    aborted, told = _heed_aborts(pipe)
    try:
        bad = _see_through(pipe, aborted)
    except (PipelineError, PlanetsError) as error:
        tell_failure(pipe, str(error))
        raise
    if bad:
        reached = {name: status for name, status in bad.items() if status != "skipped"}
        reason = ", ".join(f"{name} {status}" for name, status in (reached or bad).items())
        tell_failure(pipe, reason)
        told.set()
        pipe.stop(mark_failed=True)
        raise SystemExit(f"run failed: {reason}")


def _see_through(pipe: PipelineController, aborted: Event) -> dict[str, str]:
    """Run the DAG to its end; return the steps that ended badly, with their states."""
    edited = pipe.task.get_parameters()
    arguments = {name: str(edited.get(f"Args/{name}") or "") for name in DESCRIPTIONS}
    for name, value in arguments.items():
        pipe.add_parameter(name, default=value, description=DESCRIPTIONS[name])
    run = Run.parse(pipe.task.get_configuration_object(CONFIG) or "", arguments)
    left = stop_steps(Api(), pipe.id, "the run was tried again")
    if left:
        print(f"stopped what was left of this run: {', '.join(left)}")
    _forget_steps(pipe)
    pipe.task.set_configuration_object(
        CODE, json.dumps({stage: code_of(stage).parts for stage in STAGES}, indent=1)
    )
    build(pipe, run).start(queue=run.config.queues.controller)
    if aborted.is_set():
        # No verdict on an aborted run; the agent ends this process once the callback has returned.
        Event().wait(2 * ABORT_SECONDS)
    nodes = pipe.get_pipeline_dag().values()
    tell_new_best(pipe, nodes)
    return {node.name: node.status for node in nodes if node.status not in GOOD}


def _heed_aborts(pipe: PipelineController) -> tuple[Event, Event]:
    """Aborted from a web page, the controller takes its steps with it.

    Returns two events: the first is set when that begins, the second is to be set when a failure is told of.
    ClearML marks a run as failed before `start` returns, and the agent takes that for an abort, too: then the
    end of the process has to wait until the failure has been told.
    """
    aborted, told = Event(), Event()

    def abort() -> None:
        if pipe.task.get_status() == "failed":
            told.wait(ABORT_SECONDS)
            return
        aborted.set()
        pipe.stop(mark_aborted=True)

    pipe.task.register_abort_callback(abort, ABORT_SECONDS)
    return aborted, told


def _forget_steps(pipe: PipelineController) -> None:
    """Drop the DAG and the step scripts that a clone brought along.

    ClearML would run the stored scripts against today's library, and show the old DAG until the first change.
    """
    stored = set(pipe.task.get_configuration_objects() or {}) - {CONFIG}
    if stored:
        Api().call("tasks.delete_configuration", task=pipe.id, configuration=sorted(stored), force=True)
        pipe.task.reload()
