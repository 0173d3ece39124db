"""Weight of the imports inside a floor of pyproject.toml's contracts.

A step pays for its imports each time it runs, and its cache key is the code that it can reach.
"""

import sys

import grimp
import pytest

FORBIDDEN = {
    "planets.archive.layout": {"pandas", "torch"},
    "planets.chips.jpeg": {"pandas", "torch"},
    "planets.labels": {"pandas", "torch", "yaml"},
    "planets.chips.store": {"torch", "lightning", "timm", "sklearn"},
    "planets.metrics.f2": {"torch", "lightning", "timm"},
    "planets.archive.split": {"torch", "lightning", "timm"},
    "planets.decision.thresholds": {"torch", "lightning", "timm"},
    "planets.training.trained_model": {"lightning", "timm"},
    "planets.evaluation.inference": {"lightning", "matplotlib", "planets.decision.decision"},
    "planets.bundle.bundle": {"lightning", "matplotlib"},
    "planets.bundle.manifest": {"torch", "timm", "lightning", "matplotlib"},
    "planets.decision.decision": {"torch", "timm", "lightning", "matplotlib"},
    "planets.bundle.onnx_member": {
        "torch",
        "timm",
        "lightning",
        "matplotlib",
        "safetensors",
        "scipy",
        "pandas",
        "filelock",
    },
    "planets.metrics.significance": {"torch", "timm", "sklearn", "pydantic"},
    "planets.plots.evaluation": {"torch", "lightning", "timm"},
    "planets.plots.training": {
        "timm",
        "planets.metrics.f2",
        "planets.plots.evaluation",
        "planets.decision.thresholds",
    },
    "planets.evaluation.evaluation": {"torch", "timm", "lightning", "matplotlib"},
    "planets.training.trainer": {"matplotlib"},
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("planets", include_external_packages=True)


@pytest.mark.parametrize("module", FORBIDDEN)
def test_reaches_no_more_than_it_needs(module: str, graph: grimp.ImportGraph) -> None:
    assert not graph.find_upstream_modules(module) & FORBIDDEN[module]


SLIM = {"numpy", "onnxruntime", "PIL", "pydantic", "rich", "typer"}
"""Import names of the dependency group `predict`."""

DEFERRED = (
    ("planets.bundle.bundle", "planets.bundle.torch_member"),
    ("planets.metrics.f2", "sklearn"),
    ("planets.serving.cli", "planets.serving.demo"),
)
"""Imports within functions that neither `predict` nor `submission` calls with ONNX Runtime."""


def test_predictions_need_only_the_slim_environment() -> None:
    graph = grimp.build_graph("planets", include_external_packages=True, cache_dir=None)
    for importer, imported in DEFERRED:
        graph.remove_import(importer=importer, imported=imported)
    serving = {"planets.__main__", *graph.find_descendants("planets.serving")} - {"planets.serving.demo"}
    reached = {name.split(".")[0] for module in serving for name in graph.find_upstream_modules(module)}
    assert reached - set(sys.stdlib_module_names) - {"planets"} <= SLIM
