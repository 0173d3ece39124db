"""The DAG of a run: one declaration per step.

A declaration is all that a step needs besides its function in `steps/`: the controller's task
(`pipeline.dag.execution`), plain training and upload derive the rest from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pipeline.config.parameters import Run, words
from planets.archive.layout import source_stamp
from planets.config import ConfigError
from planets.config.project import ENSEMBLE
from steps.clearml.code_version import Code, code_of
from steps.ensemble import evaluate_ensemble
from steps.evaluate import evaluate_model
from steps.ingest import ingest_chips
from steps.register import register_dataset
from steps.select import select_best
from steps.split import split_chips
from steps.train import train_model

EVALUATION = ("name", "valid_f2", "test_f2", "constant_f2", "model_id")
"""Values that an evaluation returns, of one model or of the ensemble."""

COLUMNS = {"valid_f2": "Validation F2", "test_f2": "Test F2"}
"""Returned values that the page shows as columns, the one that ranks first, with their titles."""


def steps_of(run: Run, run_id: str = "") -> list["Step"]:
    """Declare the steps of `run`, parents before children.

    ::

        ingest -> register -> split -> train_a -> evaluate_a -> ensemble -> select
                                    -> train_b -> evaluate_b ->
    """
    config = run.config
    seed, source, path = config.split.seed, *run.source
    dataset_name = {"dataset_project": config.clearml.project, "dataset_name": config.clearml.dataset}

    ingest = Step(
        "ingest", ingest_chips, "data_processing", "data", parents=[],
        returns=("dataset_id", "content_hash", "chips", "labels", "label_set"),
        parameters={
            "source": source, "path": path, "kaggle": config.dataset.kaggle,
            "sample_chips": config.dataset.sample.chips, "sample_seed": config.dataset.sample.seed,
            "max_bad_fraction": config.dataset.max_bad_fraction,
            "label_set": config.dataset.labels.model_dump_json(),
            "source_stamp": source_version(source, path, run_id), **dataset_name,
        },
    )  # fmt: skip
    register = Step(
        "register", register_dataset, "data_processing", "data", parents=[ingest],
        returns=("dataset_id",),
        parameters={**ingest.returned("dataset_id", "content_hash"), **dataset_name},
    )  # fmt: skip
    split = Step(
        "split", split_chips, "data_processing", "data", parents=[register],
        returns=("split_id", "counts"),
        parameters={
            **register.returned("dataset_id"), **ingest.returned("labels"), **config.split.model_dump(),
        },
    )  # fmt: skip
    chips = {**register.returned("dataset_id"), **split.returned("split_id")}
    trainings = [
        Step(
            f"train_{entry.name}", train_model, "training", "train", parents=[split],
            returns=("model_id", "score"),
            parameters={
                "entry": run.entry_json(entry), "training": run.training_json(entry),
                **ingest.returned("labels"), **chips,
            },
            independent=True,
        )
        for entry in run.models
    ]  # fmt: skip
    evaluations = [
        Step(
            f"evaluate_{entry.name}", evaluate_model, "testing", "evaluate", parents=[training],
            returns=EVALUATION,
            parameters={
                "name": entry.name, "license": entry.license, "settings": run.evaluation_json(),
                "train_id": training.id, **ingest.returned("label_set"), **chips, "split_seed": seed,
            },
            independent=True,
        )
        for entry, training in zip(run.models, trainings, strict=True)
    ]  # fmt: skip
    ensemble = Step(
        ENSEMBLE, evaluate_ensemble, "testing", "evaluate", parents=evaluations,
        returns=EVALUATION,
        parameters={
            "candidates": candidates(evaluations), "settings": run.evaluation_json(),
            **ingest.returned("label_set"), **chips, "split_seed": seed,
        },
        independent=True,
    )  # fmt: skip
    evaluated = [*evaluations, ensemble] if run.has_ensemble else evaluations
    select = Step(
        "select", select_best, "qc", "data", parents=evaluated,
        returns=("name", "valid_f2", "test_f2", "model_id", "evaluate_id", "comparisons", "publication"),
        parameters={
            "candidates": candidates(evaluated),
            "champion": "",  # `pipeline.dag.incumbent` fills it in once the candidates are known
            "when": config.publish.when, "seed": seed,
        },
    )  # fmt: skip
    per_model = chain.from_iterable(zip(trainings, evaluations, strict=True))
    return [ingest, register, split, *per_model, *evaluated[len(run.models) :], select]


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: unique within the run; the part before `_` is the stage, a module of `steps`.
        function: the stage's task function.
        task_type: ClearML's type of the task.
        queue: field of the setting `queues`.
        parents: steps that end before this one starts.
        returns: names of the values that `function` returns, in order.
        parameters: arguments of `function` except `code_version`: numbers and texts, and references to values
            that the controller fills in.
        independent: a failure does not end the run: children start, look at their parent and report it.
    """

    name: str
    function: Callable[..., Any]
    task_type: str
    queue: Literal["data", "train", "evaluate"]
    parents: Sequence["Step"]
    returns: tuple[str, ...]
    parameters: dict[str, Any]
    independent: bool = False

    @property
    def stage(self) -> str:
        """The module of `steps` that holds the function."""
        return self.name.partition("_")[0]

    @property
    def code(self) -> Code:
        """The code that the result depends on."""
        return code_of(self.stage)

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments of the function; with its source, the cache key."""
        return {**self.parameters, "code_version": self.code.version}

    @property
    def id(self) -> str:
        """A reference to the step's task; it changes when the step runs again."""
        return f"${{{self.name}.id}}"

    def returned(self, *names: str) -> dict[str, str]:
        """Return references to returned values, by name; equal values keep the cache, unlike task ids."""
        unknown = set(names) - set(self.returns)
        if unknown:
            raise KeyError(f"{self.name} does not return {', '.join(sorted(unknown))}")
        return {name: f"${{{self.name}.parameters.return/{name}}}" for name in names}


def results_of(steps: Sequence[Step]) -> dict[str, Any]:
    """Declare the results of a run for the page, as docs/extending.md explains."""
    rows = {
        step.name: {"curves": "".join(p.name for p in step.parents if p.task_type == "training")}
        for step in steps
        if step.returns == EVALUATION
    }
    columns = [
        {"value": name, "title": title, "format": ".4f", "better": "higher"}
        for name, title in COLUMNS.items()
    ]
    return {
        "title": "Models", "row": "Model", "name": "name", "model": "model_id", "columns": columns,
        "rows": rows, "best": "select", "note": "publication.why",
    }  # fmt: skip


def candidates(evaluations: Sequence[Step]) -> str:
    """Return `model=task_id ...`: one text, so that the signature does not depend on the number of models."""
    return " ".join(f"{step.name.removeprefix('evaluate_')}={step.id}" for step in evaluations)


def source_version(source: str, path: str, run_id: str) -> str:
    """Return the part of `ingest`'s cache key that changes with a local folder.

    A folder that this host cannot see is never taken from the cache.
    """
    if source != "local":
        return ""
    return source_stamp(Path(path)) if Path(path).is_dir() else run_id


def steps_to_refresh(text: str, steps: Sequence[Step]) -> frozenset[str]:
    """Return the names of the steps that the parameter `refresh` names: `split+` is split and all after it.

    Raises:
        ConfigError: a name is no step of the run.
    """
    names = [step.name for step in steps]
    wanted: set[str] = set()
    for word in words(text):
        name = word.removesuffix("+")
        if name not in names:
            raise ConfigError(f"refresh: no step {name}; the steps are: {', '.join(names)}")
        wanted.add(name)
        if word.endswith("+"):
            wanted |= _descendants(name, steps)
    return frozenset(wanted)


def _descendants(name: str, steps: Sequence[Step]) -> set[str]:
    reached = {name}
    for step in steps:
        if any(parent.name in reached for parent in step.parents):
            reached.add(step.name)
    return reached
