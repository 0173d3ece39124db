"""A dataset that grows: child versions upload what is new, and their splits extend those of their parents."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.sdk_process import running_task
from support.stages import ingest, register, split

from planets.synthetic.labels import LABELS, PLANETS

pytestmark = pytest.mark.slow

CHIPS = 40


def growth(workdir):
    """Register a folder, grow it twice, and return what each version uploads, holds and how it is split."""
    from clearml import Task

    from planets.archive.table import find_archive, write_table
    from planets.synthetic.sample import make_sample
    from steps.clearml.splits import earlier_split

    folder, other = (
        make_sample(Path(workdir) / name, CHIPS, seed=seed, size=32, workers=1)
        for seed, name in enumerate(("mine", "other"), 1)
    )
    first = register(*ingest("local", str(folder))[:2])
    first_split = split(first, 1)[0]
    chips, new = folder / "train-jpg", other / "train-jpg"
    before = find_archive(folder, PLANETS).rows

    def write(rows):
        write_table(folder / "train_classes.csv", rows)

    added = (
        find_archive(other, PLANETS).rows[:12].assign(image_name=[f"new_{number}" for number in range(12)])
    )
    for number, name in enumerate(find_archive(other, PLANETS).rows["image_name"][:12]):
        shutil.copyfile(new / f"{name}.jpg", chips / f"new_{number}.jpg")
    gone, changed, copied = before["image_name"][:3]
    removed = (chips / f"{gone}.jpg").read_bytes()
    (chips / f"{gone}.jpg").unlink()
    shutil.copyfile(
        new / f"{find_archive(other, PLANETS).rows['image_name'].iloc[20]}.jpg", chips / f"{changed}.jpg"
    )
    shutil.copyfile(chips / f"{copied}.jpg", chips / "new_0.jpg")
    grown = pd.concat([before[1:], added])
    write(grown)
    second = version(folder, "local", "11")
    facts = {
        "second": second,
        "parent": parents(second["id"]),
        "split": split(second["id"], 1),
        "names": {"gone": gone, "changed": changed, "copied": copied},
        "copy": ingest("local", str(shutil.copytree(folder, folder.parent / "grown")), stamp="12")[0],
    }
    facts["extends"] = Task.get_task(task_id=facts["split"][0]).get_user_properties(value_only=True)
    with running_task("readers"):
        facts["parts"] = [parts(first, first_split), parts(second["id"], facts["split"][0])]
        facts["other_seed"] = earlier_split(second["id"], 0.2, 0.2, 3)
    # The removed chip comes back, as the SDK's own code would look for it in the first version's archive.
    (chips / f"{gone}.jpg").write_bytes(removed)
    write(pd.concat([before, added[:-1]]))
    third = version(folder, "local", "13")
    return facts | {
        "first": first,
        "first_split": first_split,
        "third": third,
        "parent_of_third": parents(third["id"]),
    }


def version(folder, source, stamp):
    """Ingest and register a folder, and return the new version: what was uploaded, and what a copy holds."""
    import hashlib
    import zipfile

    from clearml import Task

    from steps.clearml.chips import read_chips

    uploaded, upload_artifact = [], Task.upload_artifact

    def recorded(task, name, artifact_object, **options):
        uploaded.append(name)
        return upload_artifact(task, name, artifact_object, **options)

    Task.upload_artifact = recorded
    dataset_id = register(*ingest(source, str(folder), stamp)[:2])
    Task.upload_artifact = upload_artifact
    archive = Task.get_task(task_id=dataset_id).artifacts["data"].get_local_copy(extract_archive=False)
    with running_task("reader of a version"):
        chips = read_chips(dataset_id, " ".join(LABELS))
        return {
            "id": dataset_id,
            "uploads": uploaded,
            "archive": sorted(zipfile.ZipFile(archive).namelist()),
            "chips": len(chips.names),
            "is_intact": chips.digests()
            == [
                hashlib.sha256((folder / "train-jpg" / file.name).read_bytes()).hexdigest()
                for file in chips.files
            ]
            == [hashlib.sha256(file.read_bytes()).hexdigest() for file in chips.files],
        }


def parents(dataset_id):
    from clearml import Dataset

    return Dataset.get(dataset_id=dataset_id).get_dependency_graph()[dataset_id]


def parts(dataset_id, split_id):
    from steps.clearml.chips import read_chips

    chips = read_chips(dataset_id, " ".join(LABELS))
    return dict(zip(chips.names, chips.parts(split_id).tolist(), strict=True))


@pytest.fixture(scope="module")
def facts(call, tmp_path_factory):
    return call(growth, str(tmp_path_factory.mktemp("chips")))


def test_grown_content_is_a_child_that_uploads_only_what_is_new_or_changed(facts):
    changed = facts["names"]["changed"]
    assert facts["parent"] == [facts["first"]]
    assert facts["second"]["archive"] == sorted(
        ["train_classes.csv", f"train-jpg/{changed}.jpg", *(f"train-jpg/new_{n}.jpg" for n in range(12))]
    )
    assert facts["second"]["chips"] == CHIPS - 1 + 12


def test_a_copy_of_a_grown_version_holds_the_chips_of_all_its_versions(facts):
    """A copy under a new name and a chip that comes back are two that the SDK would look for elsewhere."""
    assert facts["second"]["is_intact"]
    assert facts["third"]["is_intact"]
    assert facts["parent_of_third"] == [facts["second"]["id"]]


def test_the_state_of_a_version_is_stored_once(facts):
    assert facts["second"]["uploads"] == ["audit", "data", "state"]


def test_equal_content_is_the_same_version_however_it_came_about(facts):
    assert facts["copy"] == facts["second"]["id"]


def test_the_split_of_a_child_keeps_every_earlier_chip_where_it_was(facts):
    before, after = facts["parts"]
    names = facts["names"]
    assert before.keys() - after.keys() == {names["gone"]}
    assert {name: after[name] for name in before if name in after} == {
        name: part for name, part in before.items() if name != names["gone"]
    }
    assert after["new_0"] == before[names["copied"]]
    assert {after[f"new_{number}"] for number in range(12)} == {"train", "valid", "test"}
    assert facts["extends"] == {"extends_split": facts["first_split"], "of_dataset": facts["first"]}


def test_a_split_with_other_settings_is_a_new_one(facts):
    assert facts["other_seed"] is None
