"""A stage's code version covers the code that it can reach, and nothing else."""

import pytest

from steps.clearml.code_version import STAGES, code_of, require_code
from steps.clearml.errors import OtherCode


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reaches_its_own_module_and_the_library_that_it_imports(stage):
    parts = code_of(stage).parts
    assert f"steps.{stage}" in parts
    assert {name for name in parts if name.startswith("steps.")} >= {"steps.clearml.code_version"}
    assert not any(name.startswith(("pipeline", "server")) for name in parts)


def test_thresholds_belong_to_evaluate_and_ensemble_and_not_to_train():
    assert "planets.decision.thresholds" in code_of("evaluate").parts
    assert "planets.decision.thresholds" in code_of("ensemble").parts
    assert "planets.decision.thresholds" not in code_of("train").parts


def test_light_stages_reach_no_torch_and_evaluate_no_lightning():
    for stage in ("ingest", "register", "split", "select"):
        assert "torch" not in code_of(stage).parts
    assert "lightning" not in code_of("evaluate").parts
    assert "lightning" not in code_of("ensemble").parts
    assert "sklearn" not in code_of("select").parts
    assert "lightning" in code_of("train").parts


def test_the_version_is_stable_and_differs_by_stage():
    versions = {stage: code_of(stage).version for stage in STAGES}
    assert versions == {stage: code_of(stage).version for stage in STAGES}
    assert len(set(versions.values())) == len(STAGES)


def test_a_worker_with_other_code_refuses_and_says_what_to_do():
    require_code("split", code_of("split").version)
    with pytest.raises(OtherCode, match=r"other code for 'split'.*restart the worker"):
        require_code("split", "0000000000000000")
