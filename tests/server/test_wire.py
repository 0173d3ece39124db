"""The shapes on the wire: field names, types and error codes, as clients of a real server have seen them."""

import json
import re
from typing import Any

import pytest
from support.embedded import Embedded, fetch
from support.shapes import ID, MARKS, METRIC, MODEL, PROJECT, QUEUE, STATUS, TASK, TIMESTAMP

# In order: each answer's ids are remembered under the endpoint's name and filled into later requests.
STORY: list[tuple[str, dict[str, Any], Any]] = [
    ("auth.login", {}, {"token": str}),
    ("projects.create", {"name": "wire/.pipelines/p", "system_tags": ["pipeline", "hidden"]}, {"id": ID}),
    ("projects.get_by_id", {"project": "{projects.create}"}, {"project": PROJECT}),
    (
        "projects.get_all",
        {"name": r"^wire/\.pipelines/p$", "only_fields": ["id"], "search_hidden": True},
        {"projects": [{"id": ID}]},
    ),
    (
        "projects.get_all_ex",
        {"name": r"^wire/\.pipelines/p$", "only_fields": ["id", "name"], "search_hidden": True},
        {"projects": [{"id": ID, "name": str, "hidden": bool}]},
    ),
    (
        "projects.update",
        {"project": "{projects.create}", "system_tags": ["pipeline", "hidden"]},
        {"fields": {"system_tags": list}, "updated": int},
    ),
    ("queues.create", {"name": "wire"}, {"id": ID}),
    (
        "tasks.create",
        {
            "name": "task",
            "type": "training",
            "project": "{projects.create}",
            "comment": "c",
            "system_tags": [],
        },
        {"id": ID},
    ),
    ("tasks.get_by_id", {"task": "{tasks.create}"}, {"task": TASK}),
    (
        "tasks.edit",
        {"task": "{tasks.create}", "force": True, "runtime": {"pipeline_job_hash": "abc"}},
        {"fields": {"runtime": dict, **MARKS}, "updated": int},
    ),
    (
        "tasks.edit",
        {"task": "{tasks.create}", "force": True, "output_dest": "http://files"},
        {"fields": {"output": {"destination": str}, **MARKS}, "updated": int},
    ),
    (
        "tasks.edit_hyper_params",
        {
            "task": "{tasks.create}",
            "hyperparams": [{"section": "a", "name": "b", "value": "1"}],
            "replace_hyperparams": "none",
        },
        {"updated": int},
    ),
    (
        "tasks.set_requirements",
        {"task": "{tasks.create}", "requirements": {"pip": "clearml", "conda": ""}},
        {"fields": dict, "updated": int},
    ),
    (
        "tasks.enqueue",
        {"task": "{tasks.create}", "queue": "{queues.create}", "verify_watched_queue": False},
        {"fields": {**STATUS, "enqueue_status": str, "execution.queue": ID}, "queued": int, "updated": int},
    ),
    (
        "queues.get_all",
        {"name": "^wire$", "only_fields": ["id", "tags"]},
        {"queues": [{"id": ID, "tags": list}]},
    ),
    ("queues.get_by_id", {"queue": "{queues.create}"}, {"queue": QUEUE}),
    ("workers.register", {"worker": "w", "queues": ["{queues.create}"]}, {}),
    ("queues.get_next_task", {"queue": "{queues.create}"}, {"entry": {"task": ID, "added": TIMESTAMP}}),
    ("queues.get_next_task", {"queue": "{queues.create}"}, {}),
    (
        "tasks.started",
        {"task": "{tasks.create}", "force": True, "status_message": "pulled by agent"},
        {"fields": {**STATUS, "started": TIMESTAMP}, "started": int, "updated": int},
    ),
    (
        "tasks.dequeue",
        {"task": "{tasks.create}", "new_status": "in_progress"},
        {"dequeued": int, "fields": {**STATUS, "enqueue_status": None}, "updated": int},
    ),
    (
        "tasks.started",
        {"task": "{tasks.create}", "force": False},
        {"fields": STATUS, "started": int, "updated": int},
    ),
    (
        "workers.status_report",
        {
            "worker": "w",
            "task": "{tasks.create}",
            "queue": "{queues.create}",
            "queues": ["{queues.create}"],
            "timestamp": 1795360772000,
            "machine_stats": None,
            "is_daemon": True,
            "tags": None,
        },
        {},
    ),
    (
        "queues.get_all_ex",
        {"name": "^wire$", "only_fields": ["*"]},
        {"queues": [{"company": {"id": str}, "workers": [{"name": str, "ip": str, "key": str, "task": ID}]}]},
    ),
    ("tasks.ping", {"task": "{tasks.create}"}, {}),
    (
        "models.create",
        {"uri": "file:///uploading_file", "name": "model", "labels": {}, "ready": False},
        {"created": bool, "id": ID},
    ),
    (
        "models.edit",
        {
            "model": "{models.create}",
            "uri": "file:///m",
            "task": "{tasks.create}",
            "project": "{projects.create}",
            "framework": "PyTorch",
            "design": {"design": ""},
        },
        {"fields": {"uri": str, "framework": str, "design": dict, "ui_cache": dict, **MARKS}, "updated": int},
    ),
    ("models.get_by_id", {"model": "{models.create}"}, {"model": MODEL}),
    (
        "models.get_all",
        {"task": ["{tasks.create}"], "only_fields": ["id", "uri"]},
        {"models": [{"id": ID, "uri": str}]},
    ),
    (
        "tasks.add_or_update_model",
        {"task": "{tasks.create}", "name": "model", "model": "{models.create}", "type": "output"},
        {"updated": int},
    ),
    (
        "tasks.add_or_update_artifacts",
        {
            "task": "{tasks.create}",
            "artifacts": [{"key": "a", "type": "dict", "uri": "http://f/a"}],
            "force": True,
        },
        {"updated": int},
    ),
    (
        "events.scalar_metrics_iter_histogram",
        {"task": "{tasks.create}", "key": "iter", "model_events": False},
        {"loss": {"train": {"name": str, "x": [int], "y": [float]}}},
    ),
    (
        "events.get_task_events",
        {"task": "{tasks.create}", "order": "asc", "batch_size": 100, "event_type": "plot"},
        {"returned": int, "total": int, "scroll_id": str, "events": list},
    ),
    (
        "tasks.completed",
        {"task": "{tasks.create}", "force": False, "status_reason": "completed", "publish": False},
        {"fields": {**STATUS, "completed": TIMESTAMP}, "published": int, "updated": int},
    ),
    (
        "tasks.get_all_ex",
        {"id": ["{tasks.create}"], "only_fields": ["status", "name", "project", "execution.queue.id"]},
        {
            "tasks": [
                {
                    "id": ID,
                    "status": str,
                    "name": str,
                    "project": {"id": ID},
                    "execution": {"queue": {"id": ID}},
                }
            ]
        },
    ),
    (
        "pipelines.start_pipeline",
        {
            "task": "{tasks.create}",
            "queue": "{queues.create}",
            "args": [{"name": "lr", "value": "0.1"}],
            "verify_watched_queue": True,
        },
        {"pipeline": ID, "enqueued": bool, "queue_watched": bool},
    ),
    ("workers.unregister", {"worker": "w", "queues": ["{queues.create}"]}, {}),
    (
        "tasks.delete",
        {"task": "{tasks.create}", "force": True, "move_to_trash": False, "delete_external_artifacts": True},
        {
            "deleted": bool,
            "updated_children": int,
            "updated_models": int,
            "deleted_models": int,
            "urls": None,
        },
    ),
]

ERRORS: list[tuple[str, dict[str, Any], tuple[int, int], str]] = [
    ("queues.get_by_id", {"queue": "default"}, (400, 701), "Invalid queue id: id=default, company="),
    ("queues.get_next_task", {"queue": "nope"}, (400, 701), "Invalid queue id"),
    ("tasks.get_by_id", {"task": "nope"}, (400, 101), "Invalid task id: id=nope, company="),
    ("tasks.started", {"task": "nope", "force": True}, (400, 10), "Invalid object id: task=None"),
    ("workers.status_report", {"worker": "w", "task": "nope", "timestamp": 1}, (400, 101), "Invalid task id"),
    ("models.get_by_id", {"model": "nope"}, (400, 201), "Invalid model id"),
    ("projects.get_by_id", {"project": "nope"}, (400, 401), "Invalid project id"),
    ("tasks.get_by_id", {}, (400, 11), "Missing required fields: task"),
    ("tasks.get_by_id", {"task": 7}, (400, 12), "Validation error (invalid type for field task)"),
    ("tasks.get_all", {"name": "("}, (400, 21), "Invalid regular expression"),
    (
        "workers.get_runtime_properties",
        {"worker": "w"},
        (404, 0),
        "Unable to find endpoint for name workers.get_runtime_properties and version",
    ),
]


def check(value: Any, shape: Any, path: str) -> None:
    """``value`` has at least the fields of ``shape``, each of its type."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), path
        assert shape.keys() <= value.keys(), f"{path}: {sorted(shape.keys() - value.keys())} missing"
        for name, inner in shape.items():
            check(value[name], inner, f"{path}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), path
        assert value, f"{path} is empty"
        for item in value:
            check(item, shape[0], f"{path}[]")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str), path
        assert shape.fullmatch(value), f"{path}: {value}"
    elif shape is None:
        assert value is None, path
    else:
        assert type(value) is shape, f"{path}: {value!r}"


def test_every_answer_has_the_fields_that_clients_read(shared: Embedded) -> None:
    ids: dict[str, str] = {}
    for endpoint, request, shape in STORY:
        text = json.dumps(request)
        for name, known in ids.items():
            text = text.replace(f"{{{name}}}", known)
        if endpoint == "events.scalar_metrics_iter_histogram":
            report_two_losses(shared, ids["tasks.create"])
        data = shared.call(f"v2.23/{endpoint}", **json.loads(text)).data
        check(data, shape, endpoint)
        if "id" in data:
            ids[endpoint] = data["id"]


def report_two_losses(server: Embedded, task: str) -> None:
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "loss", "variant": "train"}
    data = server.events(
        {**scalar, "iter": 0, "value": 0.9, "timestamp": 1},
        {**scalar, "iter": 1, "value": 0.5, "timestamp": 2},
    ).data
    assert data == {"added": 2, "errors": 0, "errors_info": {}}
    last = server.task(task)["last_metrics"]["81513effdf5790b79549208838404407"]
    check(last["61b3a8faa9c1091806675c230a9abe64"], METRIC, "last_metrics")


@pytest.mark.parametrize(("endpoint", "request_", "codes", "message"), ERRORS)
def test_errors_carry_the_codes_that_clients_rely_on(
    shared: Embedded, endpoint: str, request_: dict[str, Any], codes: tuple[int, int], message: str
) -> None:
    answer = shared.call(endpoint, **request_)
    assert answer.error == codes
    assert answer.status == codes[0]
    assert answer.json["meta"]["result_msg"].startswith(message)
    assert answer.json["data"] == {}


def test_the_envelope(shared: Embedded) -> None:
    answer = shared.call("v2.14/queues.get_all")
    meta = answer.json["meta"]
    assert meta.keys() == {
        "id",
        "trx",
        "endpoint",
        "result_code",
        "result_subcode",
        "result_msg",
        "error_stack",
        "error_data",
    }
    assert meta["endpoint"] == {
        "name": "queues.get_all",
        "requested_version": "2.14",
        "actual_version": "2.4",
    }
    assert (meta["result_code"], meta["result_subcode"], meta["result_msg"]) == (200, 0, "OK")
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Type"] == "application/json"


def test_the_token_holds_the_fields_that_the_sdk_reads(shared: Embedded) -> None:
    import base64

    body = shared.token.split(".")[1]
    payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert {
        "identity",
        "iat",
        "exp",
        "auth_type",
        "api_version",
        "server_version",
        "feature_set",
    } <= payload.keys()
    assert payload["feature_set"] == "basic"


def test_one_unreadable_event_does_not_lose_the_others(shared: Embedded) -> None:
    task = shared.new_task()
    good = {"type": "log", "task": task, "level": "info", "msg": "hello", "timestamp": 1}
    lines = [
        json.dumps(good),
        "{not json",
        json.dumps({**good, "task": "unknown"}),
        json.dumps({**good, "type": "?"}),
    ]
    headers = {**shared.bearer, "Content-Type": "application/json-lines"}
    answer = fetch(f"{shared.api}/events.add_batch", "POST", "\n".join(lines).encode(), headers)
    assert (answer.data["added"], answer.data["errors"]) == (1, 3)
    assert answer.data["errors_info"]["Invalid task id unknown"] == 1


def test_events_of_an_unknown_task_are_refused(shared: Embedded) -> None:
    answer = shared.events({"type": "log", "task": "unknown", "msg": "x", "timestamp": 1})
    assert answer.error == (400, 131)
    assert answer.json["meta"]["result_msg"] == "Events not added: Invalid task id unknown=1"


def test_get_post_and_gzip_are_the_same_call(shared: Embedded) -> None:
    import gzip

    body = json.dumps({"name": "^default$", "only_fields": ["name"], "method": "get"}).encode()
    headers = {**shared.bearer, "Content-Type": "application/json"}
    expected = {"queues": [{"name": "default"}]}
    for method in ("GET", "POST"):
        assert fetch(f"{shared.api}/v2.23/queues.get_all", method, body, headers).data == expected
    packed = fetch(
        f"{shared.api}/queues.get_all", "POST", gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
    )
    assert packed.data == expected


def test_a_body_that_is_too_large_is_refused_before_it_is_kept(shared: Embedded) -> None:
    import gzip

    bomb = gzip.compress(b'{"a":"' + b" " * (80 * 2**20) + b'"}')
    headers = {**shared.bearer, "Content-Encoding": "gzip"}
    assert fetch(f"{shared.api}/queues.get_all", "POST", bomb, headers).status == 413
