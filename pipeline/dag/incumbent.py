"""The incumbent: the published model for the chips of a run, which the run's best has to beat."""

from collections.abc import Mapping
from typing import Any

from clearml import PipelineController

from pipeline.clearml_tasks import fetch
from pipeline.connection import Api

ARGUMENTS = "hyperparams.kwargs"


def fill_in_champion(
    _pipe: PipelineController, _node: PipelineController.Node, parameters: dict[str, Any]
) -> None:
    """Set the parameter `champion` of `select`, once its candidates are known, to the incumbent's evaluation.

    The registry's state thus is a part of the step's cache key: a repeated run takes the decision from the
    cache until somebody publishes another model.
    """
    arguments = {name.removeprefix("kwargs/"): str(value) for name, value in parameters.items()}
    parameters["kwargs/champion"] = champion(Api(wait=True), arguments)


def champion(api: Api, arguments: Mapping[str, str]) -> str:
    """Return the incumbent's evaluation for the arguments of `select`; empty if nothing is published."""
    candidates = [word.partition("=")[2] for word in arguments["candidates"].split()]
    chips = _chips_of(api, candidates)
    best = _published_best(api, chips) if chips else None
    return _evaluation(api, best, arguments) if best else ""


def _chips_of(api: Api, candidates: list[str]) -> dict[str, str]:
    """Return the dataset and split that the candidates were evaluated on; empty when none was evaluated."""
    for task in fetch(api, candidates, ARGUMENTS).values():
        if task.done:
            return {name: task.arguments[name] for name in ("dataset_id", "split_id")}
    return {}


def _published_best(api: Api, chips: Mapping[str, str]) -> dict[str, str] | None:
    """Return the metadata of the model that was published last for these chips, if there is one.

    A model that was archived, or whose evaluation was deleted, is passed over for the one before it.
    """
    models = api.call(
        "models.get_all",
        ready=True,
        system_tags=["-archived"],
        only_fields=["id", "metadata"],
        **{f"metadata.{name}.value": value for name, value in chips.items()},
    )["models"]
    notes = [{name: str(item["value"]) for name, item in model["metadata"].items()} for model in models]
    published = sorted((note for note in notes if "published" in note), key=lambda note: note["published"])
    existing = fetch(api, [note["evaluate_id"] for note in published])
    return next((note for note in reversed(published) if note["evaluate_id"] in existing), None)


def _evaluation(api: Api, best: Mapping[str, str], arguments: Mapping[str, str]) -> str:
    """Return the incumbent's evaluation; if it came from these candidates, that of its own predecessor.

    Otherwise a repeated run would be compared with itself, and `select` would never come from the cache.
    """
    for select in fetch(api, [best["select_id"]], ARGUMENTS).values():
        inputs = ("candidates", "when", "seed", "code_version")
        if all(select.arguments.get(name) == arguments[name] for name in inputs):
            return select.arguments["champion"]
    return best["evaluate_id"]
