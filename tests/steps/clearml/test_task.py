"""What steps store and read on a real server: models, artifacts, checkpoints, parents' states."""

import os
import subprocess
import sys

import pytest
from support.sdk_process import error_of, fail, running_task


def storage(folder):
    from pathlib import Path

    import numpy as np
    from lightning.pytorch.callbacks import ModelCheckpoint

    from steps.clearml import models
    from steps.clearml import task as tasks
    from steps.clearml.artifacts import artifact_file, load_arrays, store_arrays
    from steps.clearml.logger import TaskLogger
    from steps.clearml.uploads import upload_artifact

    folder = Path(folder)
    facts = {"outside": error_of(tasks.current_task)}
    weights = folder / "model.bin"
    weights.write_bytes(b"weights")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "bundle.json").write_text("{}")
    with running_task("train_a") as task:
        model_id = models.register_model("small", weights, {"size": 32}, ("clear", "water"))
        task.set_parameter("return/model_id", model_id)
        facts["own_model"] = models.trained_model(task.id) == model_id
        store_arrays("scores", {"test_f2": np.array([0.25, 0.5])})
        upload_artifact("bundle", folder / "bundle")
        logger = TaskLogger()
        logger.log_metrics({"train_loss": 0.5, "valid_loss": 0.75, "lr": 0.1}, step=1)
        saved = ModelCheckpoint()
        saved.best_model_path = str(weights)
        facts["uploads"] = []
        for seconds in (59, 2, 2):
            logger._uploaded -= seconds
            logger.after_save_checkpoint(saved)
            facts["uploads"].append("checkpoint" in task.artifacts)
        facts["checkpoint"] = artifact_file(task.id, "checkpoint").read_text()
    facts["model_kept"] = weights.is_file()
    with running_task("evaluate_a"):
        facts["parents_model"] = models.trained_model(task.id) == model_id
        facts["weights"] = models.model_weights(model_id).read_bytes().decode()
        facts["arrays"] = load_arrays(task.id, "scores")["test_f2"].tolist()
        facts["bundle"] = sorted(path.name for path in artifact_file(task.id, "bundle").iterdir())
        facts["missing"] = error_of(artifact_file, task.id, "report")
    with running_task("train_b") as failed:
        pass
    fail(failed)
    with running_task("select"):
        facts["failed_parent"] = error_of(models.trained_model, failed.id)
        facts["completed"] = list(models.completed_of(f"a={task.id} b={failed.id}"))
    reported = task.get_reported_scalars()
    facts["scalars"] = {
        title: {name: line["y"] for name, line in series.items()} for title, series in reported.items()
    }
    return facts


@pytest.fixture(scope="module")
def facts(call, tmp_path_factory):
    return call(storage, str(tmp_path_factory.mktemp("stored")))


def test_outside_of_a_task_a_step_says_how_it_is_started(facts):
    assert facts["outside"][0] == "StepError"


def test_a_registered_model_is_read_back_and_its_file_stays(facts):
    assert facts["model_kept"]
    assert facts["weights"] == "weights"
    assert facts["own_model"]
    assert facts["parents_model"]


def test_artifacts_are_read_back(facts):
    assert facts["arrays"] == [0.25, 0.5]
    assert facts["bundle"] == ["bundle.json"]


def test_a_missing_artifact_is_named_with_those_that_exist(facts):
    kind, message = facts["missing"]
    assert kind == "StepError"
    assert "'report'" in message
    assert "scores" in message


def test_a_failed_parent_is_refused_or_passed_over(facts):
    kind, message = facts["failed_parent"]
    assert kind == "ParentFailed"
    assert "train_b" in message
    assert facts["completed"] == ["a"]


def test_the_losses_of_an_epoch_are_two_series_of_one_plot(facts):
    assert facts["scalars"]["loss"] == {"train": [0.5], "valid": [0.75]}
    assert facts["scalars"]["lr"] == {"lr": [pytest.approx(0.1)]}


def test_a_checkpoint_is_uploaded_once_a_minute(facts):
    assert facts["uploads"] == [False, True, True]
    assert facts["checkpoint"] == "weights"


def checkpoints(folder):
    """Trainings of one run that stopped, and what later ones of equal or other inputs find of them."""
    from pathlib import Path

    from clearml import Task

    from steps.clearml.models import CHECKPOINT, earlier_checkpoint

    file = Path(folder) / "last.ckpt"
    file.write_text("epoch 7")
    found = {}
    run = Task.create("stages", "run")

    def earlier(name, digest, own=False):
        with running_task(name, pipeline_job_hash=digest) as task:
            task.set_parent(run.id)
            if own:
                task.upload_artifact(CHECKPOINT, file, wait_on_upload=True)
            checkpoint = earlier_checkpoint()
            found[name] = checkpoint and checkpoint.read_text()
        return task

    earlier("stopped", "same", own=True).mark_stopped(force=True)
    earlier("same inputs", "same")
    earlier("other inputs", "other")
    return found


def test_a_checkpoint_is_found_by_the_same_task_and_by_equal_trainings_of_the_run(call, tmp_path):
    found = call(checkpoints, str(tmp_path))
    assert found == {"stopped": "epoch 7", "same inputs": "epoch 7", "other inputs": None}


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    configuration = tmp_path / "clearml.conf"
    configuration.write_text('sdk.storage.cache.default_base_dir: "/proc/cache"\n')
    done = subprocess.run(
        [sys.executable, "-c", "from steps.clearml.task import host_cache; host_cache()"],
        env=os.environ | {"CLEARML_CONFIG_FILE": str(configuration)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip().splitlines()[-1] == (
        "steps.clearml.errors.StepError: this worker cannot write ClearML's cache /proc/cache: "
        "No such file or directory; let sdk.storage.cache.default_base_dir in its clearml.conf "
        "name another folder"
    )
