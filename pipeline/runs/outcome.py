"""Outcome of a run: the verdict, the models' scores, the failures, and the installed bundle."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearml import Task

from pipeline.clearml_tasks import TaskUnavailable, fetch
from pipeline.connection import Api
from pipeline.runs.failure import Failure, failure_of
from pipeline.runs.state import GOOD, RunState, Step
from planets.bundle.card import CARD, model_card
from planets.bundle.manifest import INFO, METRICS, BundleInfo
from planets.config.project import ENSEMBLE
from planets.metrics.significance import Comparison, Lead

AHEAD = "best ahead on validation"
"""Heading of the tables' column of `gain_text`."""

Comparisons = Mapping[str, Lead]
"""Lead of the selected model over each other one, by the other's name."""


@dataclass(frozen=True)
class Score:
    """Scores of one evaluated model.

    Attributes:
        constant_f2: test F2 of the best constant prediction.
        seconds: duration of its training, in this run or in the one that a cached result is from; 0 for an
            ensemble.
    """

    name: str
    valid_f2: float
    test_f2: float
    constant_f2: float
    seconds: float


@dataclass(frozen=True)
class Best:
    """The model that `select` chose.

    Attributes:
        evaluate_id: the task that holds its bundle.
        publication: fields of `steps.clearml.publication.Publication`.
    """

    name: str
    valid_f2: float
    test_f2: float
    model_id: str
    evaluate_id: str
    comparisons: Comparisons
    publication: dict[str, Any]

    @property
    def is_published(self) -> bool:
        """True if the run published it, or found it published already."""
        return bool(self.publication["published"]) or self.publication["rival_model_id"] == self.model_id


@dataclass(frozen=True)
class Outcome:
    """Results of a run, read from what its steps returned."""

    state: RunState
    models: tuple[Score, ...]
    best: Best | None
    failures: tuple[Failure, ...]

    @property
    def status(self) -> str:
        """`completed` if every step completed or was cached, else `failed`."""
        return "completed" if self.state.good else "failed"

    def document(self, server: str) -> dict[str, Any]:
        """Return the content of run.json."""
        best = self.best
        return {
            "pipeline_id": self.state.id,
            "server": server,
            "status": self.status,
            "seconds": round(self.state.seconds, 3),
            "steps": [_step_document(step) for step in self.state.steps],
            "models": [_fields(score, "name", "valid_f2", "test_f2") for score in self.models],
            "best": _fields(best, "name", "valid_f2", "test_f2", "model_id") if best else None,
            "comparisons": _comparison_documents(best.comparisons) if best else {},
            "publication": best.publication if best else None,
            "failures": [_failure_document(failure) for failure in self.failures],
        }


def judge(api: Api, state: RunState) -> Outcome:
    """Read the outcome of a run, which may be in progress."""
    tasks = fetch(api, (step.task_id for step in state.steps), "hyperparams.return")
    returned = {
        step.name: tasks[step.task_id].returned
        for step in state.steps
        if step.status in GOOD and step.task_id in tasks
    }
    return Outcome(
        state=state,
        models=tuple(_scores(state, returned)),
        best=_best(returned.get("select", {})),
        failures=tuple(_failures(api, state)),
    )


def install_bundle(evaluate_id: str, folder: Path, comparisons: Comparisons) -> None:
    """Replace `folder`, as a whole or not at all, by the bundle of the evaluation `evaluate_id`.

    The comparisons with the other models become part of its `metrics.json` and of its model card.

    Raises:
        TaskUnavailable: the task has no bundle, or the bundle cannot be downloaded.
    """
    downloaded = _downloaded_bundle(evaluate_id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        shutil.copytree(downloaded, new)
        metrics = json.loads((new / METRICS).read_text(encoding="utf-8"))
        metrics["comparisons"] = _comparison_documents(comparisons)
        (new / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        (new / CARD).write_text(model_card(BundleInfo.read(new), metrics), encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)


def keep_bundle(evaluate_id: str, folder: Path) -> None:
    """Install the bundle of an earlier run's evaluation, unless `folder` holds it: then it stays as it is.

    Raises:
        TaskUnavailable: the task has no bundle, or the bundle cannot be downloaded.
    """
    manifest = folder / INFO
    there = manifest.read_bytes() if manifest.exists() else b""
    if there != (_downloaded_bundle(evaluate_id) / INFO).read_bytes():
        install_bundle(evaluate_id, folder, {})


def _downloaded_bundle(evaluate_id: str) -> Path:
    artifact = Task.get_task(task_id=evaluate_id).artifacts.get("bundle")
    if artifact is None:
        raise TaskUnavailable(f"task {evaluate_id} has no bundle: it is not an evaluation that completed")
    try:
        return Path(artifact.get_local_copy(raise_on_error=True))
    except ValueError as error:
        raise TaskUnavailable(f"the bundle of task {evaluate_id} cannot be downloaded: {error}") from error


def gain_text(comparison: Comparison) -> str:
    """Format a gain for a table, with its 95 % interval: `+0.0031 (-0.0002 to +0.0064)`."""
    return f"{comparison.difference:+z.4f} ({comparison.low:+z.4f} to {comparison.high:+z.4f})"


def _comparison_documents(comparisons: Comparisons) -> dict[str, Any]:
    """Return comparisons as a JSON document."""
    return {name: ahead.document() for name, ahead in comparisons.items()}


def _fields(record: object, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _step_document(step: Step) -> dict[str, Any]:
    document = _fields(step, "name", "status", "cached", "why", "task_id", "queue", "worker")
    return document | {"seconds": round(step.seconds, 3)}


def _failure_document(failure: Failure) -> dict[str, Any]:
    document = _fields(failure.step, "name", "status", "task_id")
    return document | {"reason": failure.reason, "lines": list(failure.lines)}


def _scores(state: RunState, returned: Mapping[str, Mapping[str, str]]) -> list[Score]:
    """Return the scores in the order of the DAG."""
    scores = []
    for step in state.steps:
        values = returned.get(step.name, {})
        # An ensemble of fewer than two models returns no name.
        if step.stage in ("evaluate", ENSEMBLE) and values.get("name"):
            training = state.step(f"train_{values['name']}")
            valid, test, constant = (float(values[f"{split}_f2"]) for split in ("valid", "test", "constant"))
            seconds = training.work_seconds if training else 0.0
            scores.append(Score(values["name"], valid, test, constant, seconds))
    return scores


def _best(returned: Mapping[str, str]) -> Best | None:
    if not returned:
        return None
    return Best(
        name=returned["name"],
        valid_f2=float(returned["valid_f2"]),
        test_f2=float(returned["test_f2"]),
        model_id=returned["model_id"],
        evaluate_id=returned["evaluate_id"],
        comparisons={
            name: Lead.read(document) for name, document in json.loads(returned["comparisons"]).items()
        },
        publication=json.loads(returned["publication"]),
    )


def _failures(api: Api, state: RunState) -> list[Failure]:
    """Return the steps that failed or were aborted; the controller itself if a bad run has none."""
    bad = [step for step in state.steps if step.status in ("failed", "aborted")]
    if not bad and not state.good:
        bad = [state.controller]
    return [failure_of(api, step) for step in bad]
