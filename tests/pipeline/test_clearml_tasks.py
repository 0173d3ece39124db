"""Task documents become typed records, read in pages."""

from datetime import UTC, datetime

import pytest

from pipeline.clearml_tasks import ParameterError, TaskRecord


def document(**arguments):
    items = {name: {"section": "kwargs", "name": name, "value": value} for name, value in arguments.items()}
    return {"id": "a" * 32, "hyperparams": {"kwargs": items}}


def test_a_document_becomes_a_record():
    record = TaskRecord.of(
        {
            "id": "a" * 32,
            "name": "train_a",
            "project": {"id": "p"},
            "parent": "c",
            "status": "completed",
            "status_reason": "reason",
            "status_message": "",
            "tags": ["content:1"],
            "created": "2026-01-02T03:04:05+00:00",
            "started": "2026-01-02T03:04:05.5Z",
            "completed": "2026-01-02T03:05:05.5",
            "execution": {"queue": {"id": "q"}},
            "last_iteration": 3,
            "last_metrics": {
                "h1": {
                    "v1": {"metric": "F2", "variant": "valid", "value": 0.5},
                    "v2": {"metric": "F2", "variant": "nothing", "value": None},
                }
            },
            "hyperparams": {"return": {"score": {"value": "0.9"}}, "properties": {"split": {"value": None}}},
            "configuration": {"Pipeline": {"value": '{"train_a": {}}'}},
            "runtime": {"version": "1.0.0", "size": 3},
        }
    )
    assert (record.project, record.parent, record.queue) == ("p", "c", "q")
    assert record.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (record.done, record.ended, record.seconds) == (True, True, 60.0)
    assert record.reason == "reason"
    assert record.metrics == {("F2", "valid"): 0.5}
    assert (record.returned, record.properties) == ({"score": "0.9"}, {"split": ""})
    assert record.stored("Pipeline") == {"train_a": {}}
    assert record.stored("why") == {}
    assert record.runtime == {"version": "1.0.0", "size": "3"}


def test_missing_fields_have_defaults():
    record = TaskRecord.of({"id": "b", "hyperparams": None, "execution": None, "parent": None})
    assert record == TaskRecord("b")
    assert (record.done, record.ended, record.seconds, record.settings) == (False, False, 0.0, {})


REST = '{"learning_rate": 0.001, "flips": true}'
OLD = document(
    name="a", architecture="resnet", epochs="3", settings='{"learning_rate": 0.001, "flips": true}'
)
NEW = document(
    entry='{"name": "a", "architecture": "resnet", "training": {"epochs": 3}}',
    training='{"learning_rate": 0.001, "flips": true, "epochs": 3}',
)


@pytest.mark.parametrize("train_step", [OLD, NEW], ids=["settings", "entry and training"])
def test_settings_are_read_whatever_the_form_of_the_train_step(train_step):
    assert TaskRecord.of(train_step).settings == {
        "name": "a",
        "architecture": "resnet",
        "epochs": "3",
        "learning_rate": "0.001",
        "flips": "true",
    }


def test_the_settings_of_a_plain_training_are_its_properties():
    plain = {"id": "a", "hyperparams": {"properties": {"epochs": {"value": "3"}}, "kwargs": {}}}
    assert TaskRecord.of(plain).settings == {"epochs": "3"}


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_parameter_that_holds_no_object_is_named(text):
    with pytest.raises(ParameterError, match=r"task aaaa.*: parameter 'training' is no JSON object"):
        _ = TaskRecord.of(document(training=text)).settings


PAGES = """
from pipeline.connection import Api
from pipeline.clearml_tasks import PAGE, fetch, find
api = Api()
ids = [api.call("tasks.create", name=f"paged {n}", type="training")["id"] for n in range(PAGE + 3)]
wanted = [*reversed(ids), "", "0" * 32, ids[0]]
result = {
    "fetched": list(fetch(api, wanted)) == list(reversed(ids)),
    "found": sorted(task.id for task in find(api, name="^paged ")) == sorted(ids),
    "limited": len(list(find(api, name="^paged ", limit=2))),
    "nothing": list(find(api, name="^absent ")) + list(fetch(api, [])),
    "status": {task.status for task in find(api, name="^paged ", limit=1)} == {"created"},
}
"""


def test_tasks_are_read_in_pages(sdk):
    assert sdk(PAGES) == {"fetched": True, "found": True, "limited": 2, "nothing": [], "status": True}
