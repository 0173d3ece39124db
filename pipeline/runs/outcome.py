"""The verdict over a run: what completed, what failed and why, the models' scores, `output/run.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.api import Api
from pipeline.runs.state import GOOD, STATES, RunState, Step
from planets.config.evaluation import ENSEMBLE
from planets.metrics.significance import Comparison

AGENT_LINES = ("Leaving process id", "DONE: Running task", "Process failed, exit code")
"""What the agent itself writes at the end of a step's log."""

LAST_LINES = 8
"""So many lines of a failed step's log are shown."""


@dataclass(frozen=True)
class Score:
    """One model of a run; `seconds` is what its training took, in this run or where it is cached from.

    `constant_f2` is what the best constant prediction scores on the same test part.
    """

    name: str
    valid_f2: float
    test_f2: float
    constant_f2: float
    seconds: float


@dataclass(frozen=True)
class Best:
    """The model that `select` chose; `evaluate_id` is the task that holds its bundle.

    `comparisons` is for each other model and part: how much better the best is, see
    `planets.metrics.significance`. `publication` says whether it was published, and why; see
    `steps.clearml.publication`.
    """

    name: str
    valid_f2: float
    test_f2: float
    model_id: str
    evaluate_id: str
    comparisons: dict[str, dict[str, Comparison]]
    publication: dict[str, Any]

    def documents(self) -> dict[str, Any]:
        """The comparisons for JSON."""
        return {
            name: {part: each._asdict() for part, each in parts.items()}
            for name, parts in self.comparisons.items()
        }


@dataclass(frozen=True)
class Failure:
    """A step that did not complete, with the last lines of its log."""

    step: Step
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """Everything that is said about a run that is over."""

    state: RunState
    models: tuple[Score, ...]
    best: Best | None
    failures: tuple[Failure, ...]

    @property
    def status(self) -> str:
        """`completed` when every step completed or was cached, else `failed`."""
        return "completed" if self.state.good else "failed"

    def document(self, server: str) -> dict[str, Any]:
        """The content of run.json."""
        return {
            "pipeline_id": self.state.id,
            "server": server,
            "status": self.status,
            "seconds": round(self.state.seconds, 3),
            "steps": [
                {
                    "name": step.name,
                    "status": step.status,
                    "cached": step.cached,
                    "why": step.why,
                    "task_id": step.task_id,
                    "queue": step.queue,
                    "worker": step.worker,
                    "seconds": round(step.seconds, 3),
                }
                for step in self.state.steps
            ],
            "models": [
                {"name": score.name, "valid_f2": score.valid_f2, "test_f2": score.test_f2}
                for score in self.models
            ],
            "best": None
            if self.best is None
            else {
                "name": self.best.name,
                "valid_f2": self.best.valid_f2,
                "test_f2": self.best.test_f2,
                "model_id": self.best.model_id,
            },
            "comparisons": {} if self.best is None else self.best.documents(),
            "publication": None if self.best is None else self.best.publication,
        }


def judge(api: Api, state: RunState) -> Outcome:
    """Read from the server what the run's steps returned."""
    tasks = _tasks(api, [step.task_id for step in state.steps if step.task_id], ["hyperparams"])
    chosen = next((step for step in state.steps if step.stage == "select" and step.status in GOOD), None)
    return Outcome(
        state=state,
        models=tuple(_scores(state, tasks)),
        best=_best(_returned(tasks.get(chosen.task_id))) if chosen else None,
        failures=tuple(_failures(api, state)),
    )


def write(outcome: Outcome, server: str, path: Path) -> None:
    """Write run.json, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(outcome.document(server), indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _tasks(api: Api, ids: list[str], fields: list[str]) -> dict[str, dict[str, Any]]:
    found = (
        api.call("tasks.get_all", id=ids, only_fields=["id", *fields], search_hidden=True)["tasks"]
        if ids
        else []
    )
    return {task["id"]: task for task in found}


def _scores(state: RunState, tasks: dict[str, dict[str, Any]]) -> list[Score]:
    """A score for each model that was evaluated, in the order of the DAG; an ensemble has no training."""
    by_name = {step.name: step for step in state.steps}
    scores = []
    for step in state.steps:
        returned = _returned(tasks.get(step.task_id))
        if step.stage in ("evaluate", ENSEMBLE) and step.status in GOOD and returned.get("name"):
            training = by_name.get(f"train_{returned['name']}")
            valid, test, constant = (float(returned[f"{part}_f2"]) for part in ("valid", "test", "constant"))
            scores.append(
                Score(returned["name"], valid, test, constant, training.work_seconds if training else 0)
            )
    return scores


def _best(returned: dict[str, str]) -> Best | None:
    if not returned:
        return None
    return Best(
        name=returned["name"],
        valid_f2=float(returned["valid_f2"]),
        test_f2=float(returned["test_f2"]),
        model_id=returned["model_id"],
        evaluate_id=returned["evaluate_id"],
        comparisons={
            name: {part: Comparison(**values) for part, values in parts.items()}
            for name, parts in json.loads(returned["comparisons"]).items()
        },
        publication=json.loads(returned["publication"]),
    )


def _returned(task: dict[str, Any] | None) -> dict[str, str]:
    section = ((task or {}).get("hyperparams") or {}).get("return") or {}
    return {name: item["value"] for name, item in section.items()}


def _failures(api: Api, state: RunState) -> list[Failure]:
    """The steps that ended badly; where there are none, the controller itself."""
    bad = [step for step in state.steps if step.status in ("failed", "aborted")]
    if not bad and not state.good:
        bad = [Step("controller", STATES[state.status], task_id=state.id)]
    return [Failure(step, _last_lines(api, step.task_id)) for step in bad]


def _last_lines(api: Api, task_id: str) -> tuple[str, ...]:
    """The last lines that a task printed, without blank ones and the agent's own."""
    if not task_id:
        return ()
    events = api.call("events.get_task_log", task=task_id, batch_size=100, navigate_earlier=True)["events"]
    text = "\n".join(event["msg"] for event in sorted(events, key=lambda event: event["timestamp"]))
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(AGENT_LINES)]
    return tuple(own[-LAST_LINES:])
