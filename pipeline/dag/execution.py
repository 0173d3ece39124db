"""The controller's task: what an agent executes to run the DAG."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from clearml import PipelineController

from pipeline.clearml_tasks import DONE, fetch, find
from pipeline.config.parameters import CODE, CONFIG, FORM, RESULTS, RUN_PARAMETERS, Run
from pipeline.connection import Api, ApiError, NoServer
from pipeline.controller import Step, results_of, steps_of, steps_to_refresh
from pipeline.dag.explain import LOST, Reasons
from pipeline.dag.incumbent import fill_in_champion
from pipeline.dag.launch import stored_inputs
from pipeline.dag.webhook import report_failure, report_new_best
from pipeline.errors import PipelineError
from pipeline.runs.failure import Failure, failure_of
from pipeline.runs.state import GOOD
from pipeline.runs.state import Step as StepState
from pipeline.runs.stop import stop_steps
from pipeline.workers import UNFINISHED, WORKER_LOST, Watch
from planets.errors import PlanetsError
from steps.clearml.task import FRAMEWORKS_OFF, set_refreshed
from steps.select import select_best

POLL_MINUTES = 1 / 60
"""Time between two looks at the steps; ClearML's default of 0.2 minutes adds 12 s to each transition.

ClearML remembers a step's status for a second. At a shorter interval it could see a failure a second time,
after the retry has enqueued the step again, and give the step up.
"""

ABORT_SECONDS = 30.0
"""Time that the controller of an aborted run has to stop its steps."""

RETRIES = 3
"""Times that a step whose worker was lost is put back on its queue, to resume from its checkpoint."""

INDEPENDENT = {
    "continue_on_fail": True,
    "continue_on_abort": True,
    "skip_children_on_fail": False,
    "skip_children_on_abort": False,
}
"""One model's failure does not end the run: its children start, look at their parent and report its state."""


def main() -> None:
    """Run as the controller: read the run from the task, build the DAG, run it to its end, judge it.

    Exits with 1 when a step neither completed nor came from the cache: ClearML's own verdict overlooks steps
    that failed before others, and a crash of the controller's thread.
    """
    pipe = PipelineController(
        name="", project="", pool_frequency=POLL_MINUTES, skip_global_imports=True, add_run_number=False
    )
    aborted, reported = _handle_aborts(pipe)
    try:
        failures = _run_to_end(pipe, aborted)
    except (PipelineError, PlanetsError) as error:
        report_failure(pipe, str(error))
        raise
    if failures:
        reason = "; ".join(map(str, failures))
        report_failure(pipe, reason)
        reported.set()
        pipe.stop(mark_failed=True)
        raise SystemExit(f"run failed: {reason}")


def _run_to_end(pipe: PipelineController, aborted: Event) -> list[Failure]:
    """Run the DAG to its end; return why it failed, step by step."""
    api = Api(wait=True)
    config, arguments = stored_inputs(pipe.task, RUN_PARAMETERS)
    for name, value in arguments.items():
        pipe.add_parameter(name, default=value, description=RUN_PARAMETERS[name])
    run = Run.parse(config, arguments)
    left = stop_steps(api, pipe.id, "the run was tried again")
    if left:
        print(f"stopped what was left of this run: {', '.join(left)}")
    _forget_steps(api, pipe)
    build(pipe, api, run)
    with watched(pipe.id, run.config.stack.worker_timeout):
        pipe.start(queue=run.config.queues.controller)
    if aborted.is_set():
        # No verdict on an aborted run; the agent ends this process once the callback has returned.
        Event().wait(2 * ABORT_SECONDS)
    nodes = pipe.get_pipeline_dag().values()
    report_new_best(pipe, nodes)
    return _failures(api, [node for node in nodes if node.status not in GOOD])


def _failures(api: Api, bad: list[PipelineController.Node]) -> list[Failure]:
    """Return why the nodes failed, without those that did not start if others did."""
    reached = [node for node in bad if node.status != "skipped"] or bad
    ids = {node.name: node.job.task_id() for node in reached if node.job}
    tasks = fetch(api, ids.values())
    return [
        failure_of(api, StepState(node.name, node.status, task=tasks.get(ids.get(node.name, ""))))
        for node in reached
    ]


def build(pipe: PipelineController, api: Api, run: Run) -> PipelineController:
    """Add the steps of `run` to `pipe`, and store with its task what children and explanations read there.

    Raises:
        ConfigError: `refresh` names a step that the run does not have.
    """
    steps = steps_of(run, pipe.id)
    wanted = steps_to_refresh(run.refresh, steps)
    refreshed = wanted - _completed(api, pipe.id)
    pipe.task.set_configuration_object(
        CODE, json.dumps({step.stage: step.code.parts for step in steps}, indent=1)
    )
    pipe.task.set_configuration_object(RESULTS, json.dumps(results_of(steps), indent=1), config_type="json")
    set_refreshed(pipe.task, refreshed)
    reasons = Reasons(api, pipe.task, wanted)
    for step in steps:
        _add(pipe, step, run, step.name in refreshed, reasons)
    return pipe


def _add(pipe: PipelineController, step: Step, run: Run, refresh: bool, reasons: Reasons) -> None:
    def worker_was_lost(_pipe: PipelineController, node: PipelineController.Node, retries: int) -> bool:
        """Return True if a failed step deserves another try: an error of its own code would repeat."""
        task = node.job.task
        task.reload()
        lost = WORKER_LOST in f"{task.data.status_reason} {task.data.status_message}" and retries < RETRIES
        if lost:
            # ClearML keeps no history of a task's workers; a tag shows on every page.
            task.add_tags([f"{LOST}{task.data.last_worker}"])
            reasons.note(node)
        return lost

    pipe.add_function_step(
        name=step.name,
        function=step.function,
        function_kwargs=step.arguments,
        function_return=list(step.returns),
        task_type=step.task_type,
        parents=[parent.name for parent in step.parents],
        execution_queue=getattr(run.config.queues, step.queue),
        output_uri=run.config.clearml.output_uri or None,
        cache_executed_step=not refresh,
        packages=[],
        auto_connect_frameworks=FRAMEWORKS_OFF,
        auto_connect_arg_parser=False,
        continue_behaviour=INDEPENDENT if step.independent else None,
        pre_execute_callback=fill_in_champion if step.function is select_best else None,
        status_change_callback=reasons.note_once,
        retry_on_failure=worker_was_lost,
    )


@contextmanager
def watched(run_id: str, timeout: float) -> Iterator[None]:
    """Watch the workers of the run's steps in a thread while the block runs.

    A step whose worker is lost is marked as failed, and then ClearML retries it: see `worker_was_lost`.
    """
    over = Event()
    api = Api(wait=True)  # a session serves one thread
    Thread(target=_watch_steps, args=(api, run_id, timeout, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch_steps(api: Api, run_id: str, timeout: float, over: Event) -> None:
    watch = Watch(api, timeout)
    while not over.wait(watch.interval):
        try:
            steps = find(api, parent=run_id, status=[*UNFINISHED, "stopped"])
            for task in watch.fail_lost(task for task in steps if task.type != "controller"):
                print(f"{task.name}: worker {task.worker} is lost", flush=True)
        except (ApiError, NoServer) as error:
            print(f"the workers of the steps could not be checked, trying again: {error}", flush=True)


def _completed(api: Api, run_id: str) -> set[str]:
    """Return the steps that completed in an earlier attempt of this run: their refresh has been done."""
    return {task.name for task in find(api, parent=run_id, status=list(DONE))}


def _handle_aborts(pipe: PipelineController) -> tuple[Event, Event]:
    """Stop the steps when the run is aborted on a page.

    Returns two events: the first is set when an abort begins, the second is to be set when a failure has been
    reported. ClearML marks a run as failed before `start` returns, and the agent takes that for an abort,
    too: the end of the process then has to wait for the report.
    """
    aborted, reported = Event(), Event()

    def abort() -> None:
        if pipe.task.get_status() == "failed":
            reported.wait(ABORT_SECONDS)
            return
        aborted.set()
        pipe.stop(mark_aborted=True)

    pipe.task.register_abort_callback(abort, ABORT_SECONDS)
    return aborted, reported


def _forget_steps(api: Api, pipe: PipelineController) -> None:
    """Drop the DAG and the step scripts that a clone brought along.

    ClearML would run the stored scripts against today's library, and show the old DAG until the first change.
    """
    stored: set[Any] = set(pipe.task.get_configuration_objects() or {}) - {CONFIG, FORM}
    if stored:
        api.call("tasks.delete_configuration", task=pipe.id, configuration=sorted(stored), force=True)
        pipe.task.reload()
