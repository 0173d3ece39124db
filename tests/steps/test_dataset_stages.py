"""Ingest, register and split on a real server: content is registered once, equal splits share an id."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.sdk_process import error_of, running_task
from support.stages import ingest, register, split

from planets.labels import LabelSet
from planets.synthetic.labels import LABELS, PLANETS

CHIPS = 40
OTHERS = PLANETS.model_copy(update={"labels": LABELS[::-1], "groups": ()})
"""Another label set of the same tags."""


def versions():
    from clearml import Dataset

    found = Dataset.list_datasets(dataset_project="stages", only_completed=False)
    return {each["id"]: [str(each["status"]), each["version"], sorted(each["tags"])] for each in found}


def shown(dataset_id):
    """The bars of the reported histogram, and the captions of the reported pictures."""
    import json

    from clearml import Task
    from clearml.backend_api.session.client import APIClient

    (plot,) = [
        each for each in Task.get_task(task_id=dataset_id).get_reported_plots() if each["metric"][0] != "_"
    ]
    (bars,) = json.loads(plot["plot_str"])["data"]
    answer = APIClient().events.debug_images(metrics=[{"task": dataset_id, "metric": "example"}], iters=1)
    (iteration,) = answer.metrics[0].iterations
    return dict(zip(bars["x"], bars["y"], strict=True)), [each["variant"] for each in iteration["events"]]


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
    facts["shown"] = shown(dataset_id)
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
    return facts


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


def test_the_dataset_shows_chips_per_label_and_examples_with_their_tags(facts):
    bars, captions = facts["shown"]
    assert list(bars) == list(LABELS)
    assert len(captions) == 12
    assert all(re.fullmatch(r"train_\d+: [a-z_ ]+", caption) for caption in captions)
    seen = {tag for caption in captions for tag in caption.partition(": ")[2].split()}
    assert seen <= {label for label, count in bars.items() if count}
    assert sum(bars.values()) > CHIPS


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
