"""The common end of `evaluate` and `ensemble`, in tasks of a real server."""

import pytest
from support.sdk_process import running_task


def store_both(folder):
    """Store one evaluation as that of a network and as that of an ensemble."""
    from pathlib import Path

    from support.bundles import PLAIN, TARGETS, make
    from support.synthetic import make_pixels, write_chips

    from planets.bundle.bundle import Bundle
    from planets.chips.store import ChipStore

    files = write_chips(Path(folder) / "chips", make_pixels(TARGETS))
    bundle, evaluation, _ = make(files, {"tiny": 32}, PLAIN)
    mean = Bundle(bundle.info, bundle.members, {**bundle.metrics, "shares": {"tiny": 1.0}})
    chips = ChipStore.open(Path(folder) / "cache", "hash", 32, files)
    return {
        "evaluate": store(evaluation, bundle, chips, "m1"),
        "ensemble": store(evaluation, mean, chips, ""),
    }


def store(evaluation, bundle, chips, model_id):
    from pathlib import Path

    from clearml import Model, Task

    from steps.clearml.evaluation import store_evaluation

    with running_task("evaluate") as task:
        returned = store_evaluation(evaluation, bundle, chips, model_id)
    task = Task.get_task(task_id=task.id)
    stored = Path(task.artifacts["bundle"].get_local_copy())
    return {
        "returned": returned,
        "report": evaluation.report["test"]["f2"],
        "artifacts": sorted(task.artifacts),
        "files": sorted(path.name for path in stored.rglob("*.*")),
        "scalars": task.get_reported_single_values(),
        "tables": sorted({plot["metric"] for plot in task.get_reported_plots()}),
        "model": None if model_id else Model(returned[-1]).name,
    }


@pytest.fixture(scope="module")
def both(call, tmp_path_factory):
    return call(store_both, str(tmp_path_factory.mktemp("evaluations")))


@pytest.mark.parametrize("stage", ["evaluate", "ensemble"])
def test_an_evaluation_is_stored_with_its_task(stage, both):
    stored, ensemble = both[stage], stage == "ensemble"
    name, _, test_f2, _, model_id = stored["returned"]
    assert (name, test_f2) == ("tiny", stored["report"])
    assert (model_id == "m1") != ensemble
    assert stored["artifacts"] == ["bundle", "per_chip", "per_label"]
    assert {"bundle.json", "tiny.onnx", "labels.png", "mistakes.png"} <= set(stored["files"])
    assert stored["scalars"]["test_f2"] == pytest.approx(test_f2, abs=1e-6)
    assert {"per label", "shares"} & set(stored["tables"]) == (
        {"per label", "shares"} if ensemble else {"per label"}
    )
    assert stored["model"] == ("tiny" if ensemble else None)
