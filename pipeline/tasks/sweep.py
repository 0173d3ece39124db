"""Sweep: ClearML's hyperparameter optimizer over plain trainings of one model, within a budget of minutes.

The sweep is one task. Each of its trials is a task of its own, a plain training that an agent runs; trials
are ranked by `valid_f2`, and test decides nothing. Any agent runs a clone of the sweep with other parameters.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from clearml import Task
from clearml.automation import HyperParameterOptimizer, RandomSearch
from clearml.automation.parameters import Parameter
from pydantic import Field, ValidationError

from pipeline.clearml_tasks import fetch
from pipeline.config.parameters import PER_MODEL, PLAIN_PARAMETERS, Run
from pipeline.config.ranges import EXAMPLE, RANGES, parse_ranges, values_of
from pipeline.config.settings import explain
from pipeline.connection import Api
from pipeline.dag.launch import require_dataset, store_inputs, stored_inputs
from pipeline.errors import PipelineError
from pipeline.stack.queues import workers_of
from pipeline.tasks import plain_training
from planets.config import ConfigError, Settings
from planets.config.project import Config
from planets.config.training import ModelEntry, TrainingSettings
from steps.clearml.reports import show_table, store_table
from steps.clearml.task import FRAMEWORKS_OFF
from steps.clearml.uploads import upload_artifact

ENTRY = Path(__file__).resolve().parents[1] / "entries" / "sweep.py"
SCRIPT = "sweep_planets_settings.py"
"""Name under which an agent runs the entry; no module may share it, for the script's folder comes first."""

SWEEP_PARAMETERS = {
    RANGES: f"settings to search, such as {EXAMPLE}",
    "strategy": "optuna, where its package is installed, or random",
    "budget": "minutes, after which trials that still run are stopped",
    "trials": "most trainings",
    **PLAIN_PARAMETERS,
}
"""Parameters of a sweep, with their descriptions; the others are those of every trial."""

HOW_TO_GET_OPTUNA = "`.venv/bin/uv pip install --python .venv optuna` installs it"

POLL_MINUTES = 1 / 20
"""Time between two looks at the trials."""

REPORT_MINUTES = 0.5
"""Time between two updates of the plots, at most this long after the last trial."""

STOP_MINUTES = 1.0
"""Time that the optimizer has to end its loop when the budget is used up."""

SCORES = ("valid_f2", "valid_f2_low", "valid_f2_high")
"""What a trial is judged by, and its 95 % interval."""

ABORT_SECONDS = 30.0
"""Time that an aborted sweep has to stop its trials."""


class NoTrial(PipelineError):
    """No trial of a sweep completed, so it found nothing."""


def default_strategy() -> str:
    """Return `optuna` if its package is installed here, else `random`."""
    return "optuna" if importlib.util.find_spec("optuna") else "random"


class Limits(Settings):
    """The parameters of a sweep that its trials do not have; `SWEEP_PARAMETERS` describes them."""

    strategy: Literal["optuna", "random"]
    budget: float = Field(gt=0)
    trials: int = Field(ge=1)


@dataclass(frozen=True)
class Sweep:
    """Settings and parameters of a sweep, checked.

    Attributes:
        config: the settings.
        plain: parameters of every trial.
        run: the trial without its searched settings.
        ranges: what is searched.
        limits: how, and how long.
    """

    config: Config
    plain: dict[str, str]
    run: Run
    ranges: list[Parameter]
    limits: Limits

    @classmethod
    def parse(cls, config: Config, edited: Mapping[str, str]) -> "Sweep":
        """Combine the settings with the edited parameters.

        Raises:
            ConfigError: a parameter is invalid; the message names it and the allowed values.
        """
        plain = {name: edited[name] for name in PLAIN_PARAMETERS}
        run = Run.parse_plain(config, plain)
        try:
            limits = Limits.model_validate({name: edited[name] for name in Limits.model_fields})
        except ValidationError as error:
            raise ConfigError(explain(error, lambda _: "sweep", Limits)) from error
        if limits.strategy == "optuna" and default_strategy() != "optuna":
            raise ConfigError(f"strategy: optuna is not installed; {HOW_TO_GET_OPTUNA}, or take random")
        return cls(config, plain, run, parse_ranges(config, run.models[0].name, edited[RANGES]), limits)


def main() -> None:
    """Sweep as an agent's task: a sweep that was cloned, or is tried again."""
    task = Task.init(auto_connect_arg_parser=False, auto_connect_frameworks=FRAMEWORKS_OFF)
    api = Api(wait=True)
    sweep = Sweep.parse(*stored_inputs(task, SWEEP_PARAMETERS))
    require_dataset(api, sweep.run.dataset_id)
    run_sweep(api, task, sweep)


def store_sweep(task: Task, config: Config, arguments: Mapping[str, str]) -> None:
    """Give the task of a sweep all that an agent needs to execute a clone of it."""
    task.set_packages([])
    store_inputs(task, ENTRY, SCRIPT, config, arguments, SWEEP_PARAMETERS)


def run_sweep(api: Api, task: Task, sweep: Sweep) -> tuple[pd.DataFrame, str]:
    """Search within `task` until the trials or the budget are used up.

    Returns:
        The trials, the best first (see `trials_table`), and the best one's settings as an entry of a models
        file. Both are stored with the task.

    Raises:
        NoTrial: none completed.
    """
    template = _template(task, sweep)
    try:
        overrides = _search(api, task, sweep, template)
    finally:
        api.call("tasks.delete", task=template.id)
    table = trials_table(api, overrides)
    store_table("trials", table)
    show_table("trials", "by valid_f2", table.astype(object).where(table.notna(), ""))
    if table["valid_f2"].isna().all():
        raise NoTrial(
            f"no trial completed within {sweep.limits.budget:g} minutes: raise the budget, or look at the "
            f"trials of {task.get_output_log_web_page()}"
        )
    best = entry_text(sweep, values_of(overrides[str(table["task"].iloc[0])]))
    upload_artifact("entry", best)
    print(table.to_string(index=False))
    print(f"\nThe best as an entry of a models file:\n\n{best}", flush=True)
    return table, best


def trials_table(api: Api, overrides: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per trial: its settings, `valid_f2` with its 95 % interval, status, minutes and task.

    Sorted by `valid_f2`, which is NaN for a trial that did not complete.
    """
    tasks = fetch(api, overrides, "last_metrics")
    rows = []
    for task_id, settings in overrides.items():
        trial = tasks[task_id]
        scores = {name: trial.metrics.get(("Summary", name)) if trial.done else None for name in SCORES}
        ending = {"status": trial.status, "minutes": round(trial.seconds / 60, 1), "task": task_id}
        rows.append({**values_of(settings), **scores, **ending})
    table = pd.DataFrame(rows, columns=None if rows else [*SCORES]).astype(dict.fromkeys(SCORES, float))
    return table.sort_values("valid_f2", ascending=False, ignore_index=True)


def entry_text(sweep: Sweep, values: Mapping[str, Any]) -> str:
    """Return a trial as an entry of a models file, in YAML: what differs from the project's `training`."""
    (entry,) = sweep.run.models
    settings = sweep.run.training[entry.name].model_dump() | dict(values)
    complete = TrainingSettings.model_validate(settings).model_dump()
    common = sweep.config.training.model_dump()
    kept = ModelEntry.model_fields.keys() - {"name", "training", "training_80gb", "expected"}
    document = {
        "name": f"{entry.name}_tuned",
        **{name: value for name, value in entry.model_dump().items() if name in kept and value != ""},
        "training": {name: value for name, value in complete.items() if value != common[name]},
    }
    return yaml.safe_dump([document], sort_keys=False)


def _search(api: Api, task: Task, sweep: Sweep, template: Task) -> dict[str, dict[str, Any]]:
    """Run the optimizer; return the overrides of each trial by its task."""
    queue = sweep.config.queues.train
    workers = len(workers_of(api, [queue])[queue])
    optimizer = HyperParameterOptimizer(
        base_task_id=template.id,
        hyper_parameters=sweep.ranges,
        objective_metric_title="Summary",
        objective_metric_series="valid_f2",
        objective_metric_sign="max",
        optimizer_class=_optuna_search() if sweep.limits.strategy == "optuna" else RandomSearch,
        max_number_of_concurrent_tasks=max(1, workers),
        execution_queue=queue,
        total_max_jobs=sweep.limits.trials,
        max_iteration_per_job=None,
        pool_period_min=POLL_MINUTES,
        auto_connect_task=False,
        always_create_task=False,
    )
    optimizer.set_report_period(REPORT_MINUTES)
    strategy = optimizer.get_optimizer()
    strategy.set_job_naming_scheme(_trial_name)
    task.register_abort_callback(lambda: optimizer.stop(timeout=ABORT_SECONDS / 60), ABORT_SECONDS)
    print(f"{sweep.limits.strategy} search; workers of the queue {queue}: {workers}", flush=True)
    try:
        optimizer.start()
        optimizer.wait(timeout=sweep.limits.budget)
    finally:
        optimizer.stop(timeout=STOP_MINUTES)
    return {task_id: dict(values) for task_id, values in strategy.get_created_jobs_ids().items()}


def _template(task: Task, sweep: Sweep) -> Task:
    """Create the task that the trials are clones of: a plain training."""
    (entry,) = sweep.run.models
    template = Task.create(
        project_name=sweep.config.clearml.project,
        task_name=f"train {entry.name}",
        task_type=str(Task.TaskTypes.training),
    )
    template.output_uri = task.output_uri or True
    template.set_packages([])
    store_inputs(
        template, plain_training.ENTRY, plain_training.SCRIPT, sweep.config, sweep.plain, PLAIN_PARAMETERS
    )
    for parameter in sweep.ranges:
        template.set_parameter(parameter.name, PER_MODEL)
    return template


def _trial_name(base: str, overrides: Mapping[str, Any]) -> str:
    texts = (
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values_of(overrides).items()
    )
    return f"{base} {' '.join(texts)}"


def _optuna_search() -> type[Any]:
    """Return ClearML's Optuna strategy, which asks for a score without a pause and outlives its stop."""
    from clearml.automation.optuna import OptimizerOptuna
    from optuna.exceptions import TrialPruned

    class OptunaSearch(OptimizerOptuna):  # type: ignore[misc]
        def monitor_job(self, job: Any) -> bool:
            if self._stop_event.wait(POLL_MINUTES * 60):
                job.abort()
                return False
            return bool(super().monitor_job(job))

        def helper_create_job(self, *args: Any, **kwargs: Any) -> Any:
            if self._stop_event.is_set():
                self._study.stop()
                raise TrialPruned
            return super().helper_create_job(*args, **kwargs)

    return OptunaSearch
