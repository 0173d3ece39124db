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
        "evaluate": store(evaluation, bundle, chips, registered=files[0][1]),
        "ensemble": store(evaluation, mean, chips),
    }


def store(evaluation, bundle, chips, registered=None):
    """Store an evaluation, of a model with the file `registered` if there is one."""
    from pathlib import Path

    from clearml import Model, Task

    from steps.clearml.evaluation import store_evaluation
    from steps.clearml.models import register_model

    with running_task("evaluate") as task:
        model_id = register_model("trained", registered, {}, bundle.info.labels) if registered else ""
        returned = store_evaluation(evaluation, bundle, chips, model_id)
    task, model = Task.get_task(task_id=task.id), Model(returned[-1])
    stored = Path(task.artifacts["bundle"].get_local_copy())
    return {
        "returned": returned,
        "report": evaluation.report["test"]["f2"],
        "artifacts": sorted(task.artifacts),
        "files": sorted(path.name for path in stored.rglob("*.*")),
        "scalars": task.get_reported_single_values(),
        "tables": sorted({plot["metric"] for plot in task.get_reported_plots()}),
        "model": model.name,
        "metadata": {name: item["value"] for name, item in model.get_all_metadata().items()},
    }


@pytest.fixture(scope="module")
def both(call, tmp_path_factory):
    return call(store_both, str(tmp_path_factory.mktemp("evaluations")))


@pytest.mark.parametrize("stage", ["evaluate", "ensemble"])
def test_an_evaluation_is_stored_with_its_task(stage, both):
    stored, ensemble = both[stage], stage == "ensemble"
    name, valid_f2, test_f2, _, _ = stored["returned"]
    assert (name, test_f2) == ("tiny", stored["report"])
    assert stored["artifacts"] == ["bundle", "per_chip", "per_label"]
    assert {"bundle.json", "tiny.onnx", "labels.png", "mistakes.png"} <= set(stored["files"])
    assert stored["scalars"]["test_f2"] == pytest.approx(test_f2, abs=1e-6)
    assert {"per label", "shares"} & set(stored["tables"]) == (
        {"per label", "shares"} if ensemble else {"per label"}
    )
    assert stored["model"] == ("tiny" if ensemble else "trained")
    assert stored["metadata"] == {"valid_f2": f"{valid_f2:.6f}", "test_f2": f"{test_f2:.6f}"}
