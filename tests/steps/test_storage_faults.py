"""Stages before a file server that refuses or loses files: what was not stored is not registered."""

import io
import zipfile
from pathlib import Path

import pytest
from support import sdk_process
from support.faulty_files import faulty_files, set_faults
from support.sdk_process import error_of, run_stage, running_task

pytestmark = pytest.mark.slow

NAME = {"dataset_project": "faults", "dataset_name": "chips"}
CHUNK, STATE = r"dataset\..*\.zip", r"state\.json"


@pytest.fixture(scope="module")
def faulty_call(server, tmp_path_factory):
    """Calls a function of this module as `call` does; its first argument is the file of faults."""
    with faulty_files(server, tmp_path_factory.mktemp("faults") / "faults.json") as faulty:

        def run(function, *arguments):
            folder = tmp_path_factory.mktemp("process")
            return sdk_process.call(faulty, folder, function, str(faulty.faults), *arguments)

        yield run


def uploads(faults, workdir):
    """Upload one of each kind to a server that refuses it, and to one that forgets it."""
    from clearml import Model, OutputModel, StorageManager, Task

    from steps.clearml import uploads
    from steps.clearml.logger import TaskLogger
    from steps.clearml.models import earlier_checkpoint

    file = Path(workdir) / "file.png"
    file.write_bytes(b"x" * 1000)
    with running_task("uploads", pipeline_job_hash="hash") as task:
        task.set_parent(Task.create(sdk_process.PROJECT, "run").id)

        def model():
            uploads.upload_model(OutputModel(task=task, name="model"), file)

        kinds = {
            "artifact": lambda: uploads.upload_artifact("scores", file),
            "text": lambda: uploads.upload_artifact("audit", "text", ".json"),
            "model": model,
            "figure": lambda: uploads.upload_figure("loss", "training", file),
        }
        errors = {}
        for fault in ("refused", "forgotten"):
            set_faults(faults, **{fault: "."})
            errors[fault] = {kind: error_of(upload) for kind, upload in kinds.items()}
        set_faults(faults, refused=".")
        logger = TaskLogger()
        logger._uploaded -= 60
        saved = type("Saved", (), {"best_model_path": str(file)})
        logger.after_save_checkpoint(saved)
        has_checkpoint = "checkpoint" in task.artifacts
        for patterns in ({"headless": "."}, {}):
            set_faults(faults, **patterns)
            for upload in kinds.values():
                upload()
        logger._uploaded -= 60
        logger.after_save_checkpoint(saved)
        set_faults(faults, gone="checkpoint")
        checkpoints = [earlier_checkpoint()]
        set_faults(faults)
        checkpoints.append(earlier_checkpoint())
        task.flush(wait_for_uploads=True)
        figure = task.get_debug_samples("loss", "training")[-1]
        shown = Path(StorageManager.get_local_copy(figure["url"], force_download=True)).read_bytes()
        models = Model.query_models(project_name=sdk_process.PROJECT)
    return {
        "errors": errors,
        "models": [found.name for found in models],
        "stored": [task.id, models[0].id],
        "lost_checkpoint_registered": has_checkpoint,
        "checkpoints": [checkpoint and checkpoint.name for checkpoint in checkpoints],
        "figure": shown.decode(),
    }


@pytest.fixture(scope="module")
def uploaded(faulty_call, tmp_path_factory):
    return faulty_call(uploads, str(tmp_path_factory.mktemp("uploads")))


@pytest.mark.parametrize("kind", ["artifact", "text", "model", "figure"])
def test_a_refused_upload_fails_with_the_reason(uploaded, kind):
    name, message = uploaded["errors"]["refused"][kind]
    assert name == "NotStored"
    assert "was not stored: " in message
    assert "No space is left on the server" in message
    assert "`make doctor`" in message


@pytest.mark.parametrize("kind", ["artifact", "text", "model", "figure"])
def test_an_upload_that_was_acknowledged_and_lost_fails(uploaded, kind):
    name, message = uploaded["errors"]["forgotten"][kind]
    assert name == "NotStored"
    assert "was not stored: nothing is at http" in message


def test_a_model_without_weights_does_not_stay_in_the_registry(uploaded):
    assert uploaded["models"] == ["model", "model"]


def test_a_stored_figure_is_shown_among_the_debug_samples(uploaded):
    assert uploaded["figure"] == "x" * 1000


def read_lost(faults, task_id, model_id):
    """Read what the server had and has lost."""
    from steps.clearml.artifacts import artifact_file
    from steps.clearml.models import model_weights

    set_faults(faults, gone=".")
    return [error_of(artifact_file, task_id, "scores"), error_of(model_weights, model_id)]


def test_a_file_that_was_lost_later_is_named_with_the_remedy(uploaded, faulty_call):
    for name, message in faulty_call(read_lost, *uploaded["stored"]):
        assert name == "StepError"
        assert "cannot be read: " in message
        assert "--refresh" in message


def test_a_lost_checkpoint_does_not_end_the_training(uploaded):
    assert not uploaded["lost_checkpoint_registered"]


def test_a_checkpoint_whose_file_is_gone_is_passed_over(uploaded):
    lost, stored = uploaded["checkpoints"]
    assert lost is None
    assert stored.endswith("file.png")


def lose_a_member(archive):
    """Take a chip out of a zip archive that keeps its size, as if it could not be unpacked."""
    content = archive.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(archive, "w") as rest:
        lost, *kept = sorted(whole.namelist(), key=lambda name: name.endswith(".csv"))
        for name in kept:
            rest.writestr(name, whole.read(name))
    archive.write_bytes(archive.read_bytes().rjust(len(content), b" "))
    return lost


def stages(faults, workdir, data):
    """Take a folder through ingest and register while the server refuses, loses, and hides its files."""
    import shutil

    from clearml import Dataset, Task

    from planets.synthetic.labels import PLANETS
    from planets.synthetic.sample import make_sample
    from planets.system import DiskFull
    from steps.clearml.chips import local_copy
    from steps.ingest import ingest_chips
    from steps.register import register_dataset

    folder = make_sample(Path(workdir) / "chips", 12, seed=1, size=32, workers=1)

    def ingest():
        return run_stage(
            ingest_chips,
            source="local",
            path=str(folder),
            kaggle="",
            sample_chips=0,
            sample_seed=0,
            max_bad_fraction=0.0,
            label_set=PLANETS.model_dump_json(),
            source_stamp="1",
            **NAME,
        )

    def register(dataset_id, content):
        return run_stage(register_dataset, dataset_id=dataset_id, content_hash=content, **NAME)

    def finished():
        found = Dataset.list_datasets(dataset_project="faults", only_completed=True)
        return {each["id"]: sorted(each["tags"]) for each in found}

    facts = {}
    for part, pattern in (("chunk", CHUNK), ("state", STATE)):
        for fault in ("refused", "forgotten"):
            set_faults(faults, **{fault: pattern})
            facts[f"{part} {fault}"] = error_of(ingest)
    facts["after_failures"] = finished()

    set_faults(faults)
    usage = shutil.disk_usage
    shutil.disk_usage = lambda folder: usage(folder)._replace(free=100_000_000)
    try:
        ingest()
    except DiskFull as error:
        facts["packing"] = str(error)
    shutil.disk_usage = usage
    draft, content, *rest = ingest()
    set_faults(faults, gone=STATE)
    facts["state_gone"] = error_of(register, draft, content)
    set_faults(faults, gone=CHUNK)
    facts["draft_gone"] = error_of(register, draft, content)
    facts["before"] = finished()
    set_faults(faults)
    facts["registered"] = register(draft, content) == draft
    facts["reused"] = [*ingest()] == [draft, content, *rest]

    set_faults(faults, busy=CHUNK)
    facts["busy"] = error_of(ingest)
    facts["after_busy"] = finished() == {draft: finished()[draft]}
    address = Task.get_task(task_id=draft).artifacts["data"].url
    set_faults(faults, gone=address.rpartition("/")[2].replace(".", r"\."))
    again, *_ = ingest()
    facts["made_again"] = again != draft
    facts["void"] = finished()[draft]
    facts["registered_again"] = register(again, content) == again
    from steps.clearml.uploads import dataset_fault

    facts["fault_of_new"] = dataset_fault(again)
    facts["fault_of_old"] = dataset_fault(draft)
    facts["reused_again"] = ingest()[0] == again

    lost = lose_a_member(next(Path(data).rglob(f"dataset.{again}.*.zip")))
    name, message = error_of(local_copy, again)
    facts["incomplete"] = [name, message.count(lost), message]
    return facts


@pytest.fixture(scope="module")
def facts(faulty_call, server, tmp_path_factory):
    return faulty_call(stages, str(tmp_path_factory.mktemp("stages")), str(server.data))


@pytest.mark.parametrize("part", ["chunk", "state"])
def test_ingest_fails_with_the_reason_if_the_dataset_is_refused(facts, part):
    name, message = facts[f"{part} refused"]
    assert name == "NotStored"
    assert "No space is left on the server" in message


@pytest.mark.parametrize("part", ["chunk", "state"])
def test_ingest_fails_if_the_dataset_was_acknowledged_and_lost(facts, part):
    name, message = facts[f"{part} forgotten"]
    assert name == "NotStored"
    assert "is missing at http" in message


def test_ingest_fails_before_packing_if_the_temporary_folder_is_too_small(facts):
    """ClearML would wait for ever: a thread that cannot pack a file never returns its archive."""
    assert "packing the dataset needs 200 MB on the disk of" in facts["packing"]
    assert "TMPDIR" in facts["packing"]


def test_no_failed_upload_becomes_a_version(facts):
    assert facts["after_failures"] == {}


def test_register_fails_with_the_reason_and_can_be_repeated(facts):
    for case in ("state_gone", "draft_gone"):
        name, message = facts[case]
        assert name == "NotStored"
        assert "is missing at http" in message
        assert "--refresh ingest" in message
    assert facts["before"] == {}
    assert facts["registered"]
    assert facts["reused"]


def test_a_version_that_lost_its_files_is_voided_and_made_again(facts):
    assert facts["made_again"]
    assert facts["void"] == ["unreadable"]
    assert "is missing at http" in facts["fault_of_old"]
    assert facts["registered_again"]
    assert facts["fault_of_new"] == ""
    assert facts["reused_again"]


def test_a_file_server_that_does_not_answer_voids_nothing(facts):
    name, message = facts["busy"]
    assert name == "NotStored"
    assert "cannot be checked" in message
    assert facts["after_busy"]


def test_a_copy_that_lacks_a_file_is_refused(facts):
    """ClearML does not look at the result of unpacking: a full disk leaves a part."""
    name, mentions, message = facts["incomplete"]
    assert (name, mentions) == ("StepError", 1), message
    assert "lacks" in message
