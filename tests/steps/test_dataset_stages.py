"""Ingest, register and split on a real server: content is registered once, equal splits share an id."""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from support.sdk_process import error_of, run_stage, running_task

from planets.labels import LabelSet
from planets.synthetic.labels import LABELS, PLANETS

CHIPS = 40
NAME = {"dataset_project": "stages", "dataset_name": "chips (v2)"}
"""A name that is no pattern for itself: unescaped, each run would upload the dataset again."""
NO_SAMPLE = {"kaggle": "", "sample_chips": 0, "sample_seed": 0}


OTHERS = PLANETS.model_copy(update={"labels": LABELS[::-1], "groups": ()})
"""Another label set of the same tags."""


def ingest(source, path, stamp="1", labels=PLANETS):
    from steps.ingest import ingest_chips

    words = {"source": source, "path": path, "max_bad_fraction": 0.0, "source_stamp": stamp}
    words |= {"label_set": labels.model_dump_json()}
    return run_stage(ingest_chips, **words, **NO_SAMPLE, **NAME)


def register(dataset_id, content):
    from steps.register import register_dataset

    return run_stage(register_dataset, dataset_id=dataset_id, content_hash=content, **NAME)


def split(dataset_id, seed):
    from steps.split import split_chips

    return run_stage(
        split_chips, dataset_id=dataset_id, labels=" ".join(LABELS), valid=0.2, test=0.2, seed=seed
    )


def versions():
    from clearml import Dataset

    found = Dataset.list_datasets(dataset_project="stages", only_completed=False)
    return {each["id"]: [str(each["status"]), each["version"], sorted(each["tags"])] for each in found}


def stages(workdir):
    """Take two folders of equal chips and a version that somebody else registered through the stages."""
    import hashlib

    from clearml import Dataset, Task

    from planets.synthetic.sample import make_sample
    from steps.clearml.chips import read_chips
    from steps.clearml.datasets import upload

    folder = make_sample(Path(workdir) / "mine", CHIPS, seed=1, size=32, workers=1)
    facts = {"draft": ingest("local", str(folder))}
    dataset_id, content, *_ = facts["draft"]
    facts["draft_status"] = versions()[dataset_id][0]
    facts["registered"] = register(dataset_id, content)
    facts["versions"] = versions()
    facts["same_source"] = ingest("local", str(folder))
    copy = Path(shutil.copytree(folder, Path(workdir) / "copy", copy_function=shutil.copyfile))
    facts["same_content"] = ingest("local", str(copy), stamp="2")

    with running_task("second draft"):
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*.*")]
        draft = upload("stages", "chips (v2)", [f"content:{content}", "source:local"], PLANETS, folder, files)
    facts["same_content_registered"] = register(draft, content)
    facts["after_second_draft"] = list(versions())

    facts["splits"] = {
        "first": split(dataset_id, 1),
        "again": split(dataset_id, 1),
        "other": split(dataset_id, 2),
    }
    with running_task("reader"):
        chips = read_chips(dataset_id, " ".join(LABELS))
        facts["parts"] = Counter(chips.parts(facts["splits"]["first"][0]).tolist())
        facts["read"] = [len(chips.names), list(chips.labels.shape), chips.content, chips.source]
        facts["digests"] = chips.digests()
        facts["sha256"] = [hashlib.sha256(file.read_bytes()).hexdigest() for file in chips.files]
        facts["files"] = [file.is_file() for file in chips.files]

    other = make_sample(Path(workdir) / "other", CHIPS, seed=2, size=32, workers=1)
    foreign = Dataset.create(dataset_name="foreign", dataset_project="elsewhere")
    foreign.add_files(other)
    foreign.upload(show_progress=False)
    facts["refused"] = error_of(ingest, "clearml", foreign.id)
    foreign.finalize()
    facts["foreign"] = foreign.id
    facts["adopted"] = ingest("clearml", foreign.id)
    facts["own_labels"] = ingest("clearml", dataset_id, labels=OTHERS)[3:]
    facts["set_labels"] = ingest("clearml", foreign.id, labels=OTHERS)[3:]
    facts["adopted_registered"] = register(*facts["adopted"][:2])
    facts["foreign_tags"] = Task.get_task(task_id=foreign.id).get_tags()
    facts["growth"] = growth(folder, other, dataset_id, facts["splits"]["first"][0])
    return facts


def growth(folder, other, first, first_split):
    """Grow the folder twice, and return what each version uploads, holds and where its chips are split."""
    from clearml import Task

    from planets.archive.table import find_archive, write_table
    from steps.clearml.splits import earlier_split

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
    return call(stages, str(tmp_path_factory.mktemp("chips")))


def test_ingest_uploads_a_draft_and_register_finalizes_it(facts):
    dataset_id, content, chips, *_ = facts["draft"]
    assert chips == CHIPS
    assert facts["draft_status"] == "in_progress"
    assert facts["registered"] == dataset_id
    status, version, tags = facts["versions"][dataset_id]
    assert (status, version) == ("completed", "1.0.0")
    assert {f"content:{content}", "source:local"} <= set(tags)


def test_a_known_source_or_known_content_is_not_uploaded_again(facts):
    assert facts["same_source"] == facts["draft"]
    assert facts["same_content"] == facts["draft"]


def test_a_second_draft_of_registered_content_is_dropped(facts):
    assert facts["same_content_registered"] == facts["registered"]
    assert facts["after_second_draft"] == [facts["registered"]]


def test_equal_splits_share_the_id_of_the_first(facts):
    splits = facts["splits"]
    assert splits["again"] == splits["first"]
    assert splits["other"][0] != splits["first"][0]


def test_the_split_table_divides_all_chips(facts):
    assert sum(facts["parts"].values()) == CHIPS
    assert set(facts["parts"]) == {"train", "valid", "test"}


def test_registered_chips_are_read_from_the_local_copy(facts):
    _, content, *_ = facts["draft"]
    assert facts["read"] == [CHIPS, [CHIPS, 17], content, "local"]
    assert facts["files"] == [True] * CHIPS


def test_the_digests_that_keep_duplicates_together_are_those_of_the_files(facts):
    """ClearML computed them on upload; the split does not read the files again."""
    assert facts["digests"] == facts["sha256"]


def test_a_draft_of_somebody_else_is_refused_and_its_final_version_used_as_is(facts):
    kind, message = facts["refused"]
    assert kind == "StepError"
    assert "is a draft, which can still change" in message
    dataset_id, content, chips, *_ = facts["adopted"]
    assert (dataset_id, chips) == (facts["foreign"], CHIPS)
    assert facts["adopted_registered"] == facts["foreign"]
    assert f"content:{content}" in facts["foreign_tags"]


def test_a_dataset_brings_the_label_set_that_it_was_registered_with(facts):
    names, stored = facts["own_labels"]
    assert (names.split(), LabelSet.model_validate_json(stored)) == ([*LABELS], PLANETS)


def test_a_dataset_without_a_label_set_takes_that_of_the_settings(facts):
    names, returned = facts["set_labels"]
    assert (names.split(), LabelSet.model_validate_json(returned)) == ([*LABELS[::-1]], OTHERS)


def test_grown_content_is_a_child_that_uploads_only_what_is_new_or_changed(facts):
    growth = facts["growth"]
    changed = growth["names"]["changed"]
    assert growth["parent"] == [growth["first"]]
    assert growth["second"]["archive"] == sorted(
        ["train_classes.csv", f"train-jpg/{changed}.jpg", *(f"train-jpg/new_{n}.jpg" for n in range(12))]
    )
    assert growth["second"]["chips"] == CHIPS - 1 + 12


def test_a_copy_of_a_grown_version_holds_the_chips_of_all_its_versions(facts):
    """A copy under a new name and a chip that comes back are two that the SDK would look for elsewhere."""
    assert facts["growth"]["second"]["is_intact"]
    assert facts["growth"]["third"]["is_intact"]
    assert facts["growth"]["parent_of_third"] == [facts["growth"]["second"]["id"]]


def test_the_state_of_a_version_is_stored_once(facts):
    assert facts["growth"]["second"]["uploads"] == ["audit", "data", "state"]


def test_equal_content_is_the_same_version_however_it_came_about(facts):
    growth = facts["growth"]
    assert growth["copy"] == growth["second"]["id"]


def test_the_split_of_a_child_keeps_every_earlier_chip_where_it_was(facts):
    growth = facts["growth"]
    before, after = growth["parts"]
    names = growth["names"]
    assert before.keys() - after.keys() == {names["gone"]}
    assert {name: after[name] for name in before if name in after} == {
        name: part for name, part in before.items() if name != names["gone"]
    }
    assert after["new_0"] == before[names["copied"]]
    assert {after[f"new_{number}"] for number in range(12)} == {"train", "valid", "test"}
    assert growth["extends"] == {"extends_split": growth["first_split"], "of_dataset": growth["first"]}


def test_a_split_with_other_settings_is_a_new_one(facts):
    assert facts["growth"]["other_seed"] is None
