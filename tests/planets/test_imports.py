"""A step pays for its imports each time it runs, and its cache key is the code that it can reach."""

import grimp
import pytest

FORBIDDEN = {
    "planets.chips": {"torch", "lightning", "timm", "sklearn"},
    "planets.metrics": {"torch", "lightning", "timm"},
    "planets.split": {"torch", "lightning", "timm"},
    "planets.thresholds": {"torch", "lightning", "timm"},
    "planets.fitted": {"lightning", "timm"},
    "planets.predict": {"lightning"},
    "planets.bundle": {"lightning", "matplotlib"},
    "planets.manifest": {"torch", "timm", "lightning", "matplotlib"},
    "planets.decision": {"torch", "timm", "lightning", "matplotlib"},
    "planets.onnx_member": {"torch", "timm", "lightning", "matplotlib", "safetensors", "scipy", "filelock"},
    "planets.comparison": {"torch", "timm", "sklearn", "pydantic"},
    "planets.figures": {"torch", "lightning", "timm"},
    "planets.training_figures": {"timm", "planets.metrics", "planets.figures", "planets.thresholds"},
    "planets.evaluation": {"torch", "timm", "lightning", "matplotlib"},
    "planets.scoring": {"lightning", "matplotlib", "planets.decision"},
    "planets.training": {"planets.thresholds", "planets.bundle", "planets.figures", "matplotlib"},
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("planets", include_external_packages=True)


@pytest.mark.parametrize("module", FORBIDDEN)
def test_reaches_no_more_than_it_needs(module: str, graph: grimp.ImportGraph) -> None:
    assert not graph.find_upstream_modules(module) & FORBIDDEN[module]


def test_nothing_here_reaches_clearml(graph: grimp.ImportGraph) -> None:
    assert "clearml" not in graph.modules
