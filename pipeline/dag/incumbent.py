"""The model that is published for the test chips of a run, which the run's best has to beat."""

from collections.abc import Mapping
from typing import Any

from clearml import PipelineController

from pipeline.api import Api

DONE = ("completed", "published")


def name_champion(_pipe: PipelineController, _node: PipelineController.Node, told: dict[str, Any]) -> None:
    """Tell `select`, once its candidates are known, which evaluation they are compared with.

    So the registry's state is a part of the step's cache key: a repeated run takes the decision from the
    cache as long as nobody has published another model, and decides anew once somebody has.
    """
    api = Api()
    candidates = [word.partition("=")[2] for word in str(told["kwargs/candidates"]).split()]
    test = _test_chips(api, candidates)
    best = _published_best(api, test) if test else None
    told["kwargs/champion"] = _rival(api, best, told) if best else ""


def _test_chips(api: Api, candidates: list[str]) -> dict[str, str]:
    """Which dataset and split the candidates were tested on; empty when none was evaluated."""
    for task in _tasks(api, candidates):
        told = _parameters(task)
        if task["status"] in DONE:
            return {name: told[name] for name in ("dataset_id", "split_id")}
    return {}


def _published_best(api: Api, test: Mapping[str, str]) -> dict[str, str] | None:
    """What is noted with the model that was published last for these test chips, if there is one.

    A model that was archived, or whose evaluation was deleted, is passed over: the one before it counts.
    """
    models = api.call(
        "models.get_all",
        ready=True,
        system_tags=["-archived"],
        only_fields=["id", "metadata"],
        **{f"metadata.{name}.value": value for name, value in test.items()},
    )["models"]
    noted = [{name: str(item["value"]) for name, item in model["metadata"].items()} for model in models]
    noted = sorted((each for each in noted if "published" in each), key=lambda each: each["published"])
    there = {task["id"] for task in _tasks(api, [each["evaluate_id"] for each in noted])}
    return next((each for each in reversed(noted) if each["evaluate_id"] in there), None)


def _rival(api: Api, best: Mapping[str, str], told: Mapping[str, Any]) -> str:
    """The evaluation of the published best; or, if it was these candidates that it came from, its rival.

    A run that is repeated would else be compared with itself, and `select` would never come from the cache.
    """
    for select in _tasks(api, [best["select_id"]]):
        before = _parameters(select)
        same = ("candidates", "when", "seed", "code_version")
        if all(before.get(name) == str(told[f"kwargs/{name}"]) for name in same):
            return before["champion"]
    return best["evaluate_id"]


def _tasks(api: Api, ids: list[str]) -> list[dict[str, Any]]:
    """Those of the tasks that exist, in the order of `ids`."""
    if not ids:
        return []
    fields = ["id", "status", "hyperparams.kwargs"]
    found = api.call("tasks.get_all", id=ids, only_fields=fields, search_hidden=True)["tasks"]
    by_id: dict[str, dict[str, Any]] = {task["id"]: task for task in found}
    return [by_id[task_id] for task_id in ids if task_id in by_id]


def _parameters(task: Mapping[str, Any]) -> dict[str, str]:
    section = (task.get("hyperparams") or {}).get("kwargs") or {}
    return {name: str(item.get("value") or "") for name, item in section.items()}
