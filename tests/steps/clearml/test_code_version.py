"""A stage's code version covers the code that its result depends on, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config.parameters import Run, run_arguments
from pipeline.config.settings import load_config
from pipeline.controller import steps_of
from pipeline.dag.explain import code_changes
from steps.clearml.code_version import OtherCode, code_of, require_code

ROOT = Path(__file__).resolve().parents[3]
CONFIG = load_config("sample")
STEPS = steps_of(Run.parse(CONFIG, run_arguments(CONFIG)))
STAGES = list(dict.fromkeys(step.stage for step in STEPS))

EDITS = {
    "nothing": (None, []),
    "README": ("README.md", []),
    "palette": ("planets/plots/palette.py", []),
    "figure": ("planets/plots/training.py", []),
    "disk helper": ("planets/system.py", []),
    "a setting's description": ("planets/config/training.py", []),
    "what a page shows": ("steps/clearml/reports.py", []),
    "a new step": ("steps/describe.py", []),
    "Kaggle message": ("planets/sources/kaggle.py", ["ingest"]),
    "thresholds": ("planets/decision/thresholds.py", ["evaluate", "ensemble", "select"]),
    "the network's head": ("planets/training/model.py", ["train", "evaluate", "ensemble", "select"]),
}
"""A name, the file that is edited (or added), and the stages that run again."""

VERSIONS = """
import json, sys
from pathlib import Path
from steps.clearml import code_version
stages, files = json.loads(sys.argv[1])
found = []
for file in files:
    path = Path(file or "nothing")
    before = path.read_bytes() if path.exists() else None
    if file:
        path.write_bytes((before or b"from planets.plots import palette\\n") + b"\\n# edited\\n")
    code_version._graph.cache_clear()
    found.append({stage: code_version.code_of(stage).parts for stage in stages})
    if before is not None:
        path.write_bytes(before)
    elif file:
        path.unlink()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The code of each stage after each edit of a copy of the tree, by the name of the edit."""
    copy = tmp_path_factory.mktemp("tree")
    for package in ("planets", "steps"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", copy)
    request = json.dumps([STAGES, [file for file, _ in EDITS.values()]])
    done = subprocess.run(
        [sys.executable, "-B", "-c", VERSIONS, request],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(EDITS, json.loads(done.stdout), strict=True))


def run_again(changed):
    """The stages that run again: those with other code, and those that refer to the task of one that does."""
    again = set(changed)
    for step in STEPS:
        ids = re.findall(r"\$\{(\w+)\.id\}", json.dumps(step.parameters))
        if any(name.partition("_")[0] in again for name in ids):
            again.add(step.stage)
    return again


@pytest.mark.parametrize(("edit", "stages"), [(edit, stages) for edit, (_, stages) in EDITS.items()])
def test_an_edit_runs_again_the_stages_whose_results_depend_on_it(parts, edit, stages):
    before, after = parts["nothing"], parts[edit]
    assert run_again(stage for stage in STAGES if before[stage] != after[stage]) == set(stages)


@pytest.mark.parametrize("edit", ["thresholds", "the network's head"])
def test_the_changed_file_is_named(parts, edit):
    old, new = parts["nothing"]["evaluate"], parts[edit]["evaluate"]
    assert code_changes(new, old) == [f"{EDITS[edit][0]} changed"]


def test_every_edited_file_exists():
    missing = {edit for edit, (file, _) in EDITS.items() if file and not (ROOT / file).exists()}
    assert missing == {"a new step"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_covers_its_own_module_and_nothing_of_the_pipeline(stage):
    parts = code_of(stage).parts
    assert f"steps.{stage}" in parts
    assert not any(name.startswith(("pipeline", "server")) for name in parts)


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
