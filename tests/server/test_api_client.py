"""The SDK's ``APIClient``: every call of it is served, refused with a reason, or listed as not served."""

from typing import Any

import pytest
from clearml.backend_api.session.client import APIClient, APIError
from support import compatibility
from support.embedded import Embedded

from server.services.unavailable import REASONS


def data(answer: Any) -> Any:
    """The answer as the SDK's response class holds it."""
    return answer.response.to_dict()


@pytest.mark.parametrize("call", sorted(compatibility.known_arguments()))
def test_every_call_of_the_sdk_is_served_or_listed_with_the_reason(call: str) -> None:
    if call in compatibility.endpoints():
        assert compatibility.reason_not_served(call) is None
    else:
        assert compatibility.reason_not_served(call), (
            "serve it, or give the reason in compatibility.NOT_SERVED"
        )


@pytest.mark.parametrize("call", sorted(REASONS))
def test_a_call_that_makes_no_sense_is_refused_with_the_reason(shared: Embedded, call: str) -> None:
    answer = shared.call(call, anything="x")
    assert answer.error == (400, 0)
    assert REASONS[call] in answer.json["meta"]["result_msg"]


def test_the_sdk_reads_the_reason(client: APIClient) -> None:
    with pytest.raises(APIError, match="one pair of keys") as error:
        client.auth.edit_credentials(access_key="x", label="new")
    assert error.value.code == 400


def test_the_keys(shared: Embedded) -> None:
    (key,) = shared.call("auth.get_credentials").data["credentials"]
    assert key["access_key"] == shared.access_key
    assert shared.secret_key not in str(key)
    valid = shared.call("auth.validate_token", token=shared.token).data
    assert valid["valid"] is True
    assert shared.call("users.get_by_id", user=valid["user"]).data["user"]["id"] == valid["user"]
    assert shared.call("auth.validate_token", token="x").data == {"valid": False}


def test_the_server_names_its_version(shared: Embedded) -> None:
    assert shared.call("server.info").data["version"] == "2.3.0"
    assert shared.call("server.report_stats_option").data == {"supported": False, "enabled": False}


KINDS = [
    ("tasks", "task", {"type": "training"}),
    ("models", "model", {"uri": "http://f/m"}),
    ("projects", "project", {}),
]


@pytest.mark.parametrize(("service", "name", "fields"), KINDS)
def test_public_and_private(
    client: APIClient, shared: Embedded, service: str, name: str, fields: dict[str, Any]
) -> None:
    first, second = (shared.call(f"{service}.create", name=f"public {n}", **fields).data["id"] for n in "ab")
    calls = getattr(APIClient(session=client.session, api_version="2.20"), service)
    assert data(calls.make_public(ids=[first])) == {"updated": 1}
    assert data(calls.make_public(ids=[first])) == {"updated": 0}

    def listed(**filters: Any) -> set[str]:
        answer = shared.call(f"{service}.get_all", id=[first, second], **filters).data
        return {item["id"] for item in answer[service]}

    assert listed() == {first, second}
    assert listed(allow_public=False) == {second}
    assert shared.call(f"{service}.get_by_id", **{name: first}).data[name]["company"] == ""
    assert data(calls.make_private(ids=[first, second])) == {"updated": 1}
    assert listed(allow_public=False) == {first, second}
    assert shared.call(f"{service}.make_public", ids=[second, "unknown"]).status == 400
    assert listed(allow_public=False) == {first, second}, "all or none"


def test_metadata_of_a_queue(client: APIClient, shared: Embedded) -> None:
    queue = client.queues.create(name="with metadata").id
    for number in (1, 2):
        item = {"key": "k", "type": "int", "value": str(number)}
        assert data(client.queues.add_or_update_metadata(queue=queue, metadata=[item])) == {"updated": 1}
    other = {"key": "other", "type": "str", "value": "x"}
    client.queues.add_or_update_metadata(queue=queue, metadata=[other])
    metadata = shared.call("queues.get_by_id", queue=queue).data["queue"]["metadata"]
    assert metadata == {"k": {"key": "k", "type": "int", "value": "2"}, "other": other}
    (found,) = shared.call("queues.get_all", name="with metadata", only_fields=["metadata"]).data["queues"]
    assert found["metadata"] == metadata
    client.queues.delete_metadata(queue=queue, keys=["k", "unknown"])
    assert shared.call("queues.get_by_id", queue=queue).data["queue"]["metadata"] == {"other": other}
    client.queues.add_or_update_metadata(queue=queue, metadata=[], replace_metadata=True)
    assert shared.call("queues.get_by_id", queue=queue).data["queue"]["metadata"] == {}
    assert shared.call("queues.delete_metadata", queue="unknown", keys=["k"]).error == (400, 701)
    assert shared.call("queues.add_or_update_metadata", queue=queue).error == (400, 11)


def test_metadata_of_models_by_project(client: APIClient, shared: Embedded) -> None:
    project = shared.call("projects.create", name="metadata/of models").data["id"]
    parent = shared.call("projects.get_by_id", project=project).data["project"]["parent"]
    for place, (folder, value) in enumerate([(project, "1"), (project, "2"), (parent, "2"), (parent, "3")]):
        metadata = {"epochs": {"key": "epochs", "value": value}, f"key {place}": {"key": f"key {place}"}}
        shared.call(
            "models.create", name=f"model {place}", uri="http://f/m", project=folder, metadata=metadata
        )
    keys = data(client.projects.get_model_metadata_keys(project=project))
    assert keys == {"keys": ["epochs", "key 0", "key 1"], "total": 3, "remaining": 0}
    page = data(client.projects.get_model_metadata_keys(project=parent, page_size=2, page=1))
    assert page == {"keys": ["key 1", "key 2"], "total": 5, "remaining": 1}
    own = data(client.projects.get_model_metadata_keys(project=parent, include_subprojects=False))
    assert own["keys"] == ["epochs", "key 2", "key 3"]
    values = data(client.projects.get_model_metadata_values(projects=[parent], key="epochs"))
    assert values == {"values": ["1", "2", "3"], "total": 3}
    owned = {"projects": [parent], "key": "epochs", "include_subprojects": False}
    assert data(client.projects.get_model_metadata_values(**owned))["values"] == ["2", "3"]


def test_projects_merge(client: APIClient, shared: Embedded) -> None:
    source, target = (shared.call("projects.create", name=name).data["id"] for name in ("source", "target"))
    child = shared.call("projects.create", name="source/child/grandchild").data["id"]
    tasks = [shared.new_task(project=source), shared.new_task(project=source, system_tags=["archived"])]
    model = shared.call("models.create", name="model", uri="http://f/m", project=source).data["id"]
    assert shared.call("projects.merge", project=source, destination_project=child).error == (400, 12)
    assert shared.call("projects.merge", project=source, destination_project="unknown").error == (400, 401)
    assert shared.call("projects.merge", project=source).error == (400, 12), "it has no parent"
    answer = data(client.projects.merge(project=source, destination_project=target))
    assert answer == {"moved_entities": 3, "moved_projects": 1}
    assert shared.call("projects.get_by_id", project=source).error == (400, 401)
    assert {shared.task(task)["project"] for task in tasks} == {target}
    assert shared.call("models.get_by_id", model=model).data["model"]["project"] == target
    grandchild = shared.call("projects.get_by_id", project=child).data["project"]
    assert grandchild["name"] == "target/child/grandchild"
    assert shared.call("projects.get_by_id", project=grandchild["parent"]).data["project"]["parent"] == target


def test_projects_merge_all_or_nothing(shared: Embedded) -> None:
    names = ("left", "left/same", "left/own", "right", "right/same")
    left, _, _, right, _ = (shared.call("projects.create", name=name).data["id"] for name in names)
    task = shared.new_task(project=left)
    assert shared.call("projects.merge", project=left, destination_project=right).error == (400, 801)
    assert shared.task(task)["project"] == left
    assert len(shared.call("projects.get_all", name="^left").data["projects"]) == 3


def test_runs_are_deleted_with_their_steps(client: APIClient, shared: Embedded) -> None:
    project = shared.call("projects.create", name="flows/.pipelines/flow").data["id"]
    runs = [shared.new_task(name=f"run {n}", type="controller", project=project) for n in range(3)]
    steps = [shared.new_task(name="step", parent=run, project=project) for run in runs]
    for task in (*runs, *steps):
        shared.call("tasks.started", task=task)
        shared.call("tasks.completed", task=task)
        shared.events({"type": "log", "task": task, "msg": "a line"})
    refused = shared.call("pipelines.delete_runs", ids=runs, project=project)
    assert refused.error == (400, 12)
    assert shared.call("events.download_task_log", task=runs[0]).data["lines"] == ["a line"]
    answer = shared.call("pipelines.delete_runs", ids=[*runs[:2], steps[2], "unknown"], project=project).data
    assert sorted(item["id"] for item in answer["succeeded"]) == sorted(runs[:2])
    assert {item["id"]: item["error"]["codes"] for item in answer["failed"]} == {
        steps[2]: [400, 12],
        "unknown": [400, 101],
    }
    left = shared.call("tasks.get_all", project=[project], only_fields=["id"]).data["tasks"]
    assert {task["id"] for task in left} == {runs[2], steps[2]}
    assert shared.call("events.download_task_log", task=steps[2]).data["lines"] == ["a line"]


def test_tasks_are_updated_in_a_batch(shared: Embedded) -> None:
    from support.embedded import fetch

    tasks = [shared.new_task() for _ in range(2)]
    headers = {**shared.bearer, "Content-Type": "application/json-lines"}

    def send(*lines: str) -> Any:
        return fetch(f"{shared.api}/tasks.update_batch", "POST", "\n".join(lines).encode(), headers)

    first, second = (f'{{"task": "{task}", "comment": "new"}}' for task in tasks)
    assert send(first, '{"task": "unknown", "comment": "x"}').error == (400, 101)
    assert send(first, f'{{"task": "{tasks[1]}", "nonsense": 1}}').error == (400, 12)
    assert shared.task(tasks[0])["comment"] == ""
    assert send(first, second).data == {"updated": 2}
    assert [shared.task(task)["comment"] for task in tasks] == ["new", "new"]


def test_the_one_user_is_found_by_filters(shared: Embedded) -> None:
    user = shared.call("users.get_current_user").data["user"]["id"]
    project = shared.call("projects.create", name="users/of project").data["id"]
    parent = shared.call("projects.get_by_id", project=project).data["project"]["parent"]

    def found(call: str = "users.get_all_ex", **filters: Any) -> int:
        return len(shared.call(call, **filters).data["users"])

    for call in ("users.get_all", "users.get_all_ex"):
        assert found(call, id=[user]) == found(call, name="^us") == 1
        assert found(call, id=["other"]) == found(call, name="^x") == found(call, page=1, page_size=5) == 0
        assert shared.call(call, only_fields=["name"]).data["users"] == [{"id": user, "name": "user"}]
        assert shared.call(call, nonsense=1).error == (400, 12)
    assert found(active_in_projects=[parent]) == 0
    shared.new_task(project=project)
    assert found(active_in_projects=[parent]) == found(active_in_projects=[]) == 1
    assert shared.call("users.get_by_id", user="other").status == 400
    assert shared.call("users.get_current_user", nonsense=1).error == (400, 12)


def test_entities_are_counted(shared: Embedded) -> None:
    project = shared.call("projects.create", name="counted").data["id"]
    shared.call("projects.create", name="counted/.datasets/pictures", system_tags=["dataset", "hidden"])
    for tags in ([], ["a"]):
        shared.new_task(project=project, tags=tags)
    shared.call("reports.create", name="a report", project=project)
    shared.call("models.create", name="counted", uri="http://f/m", project=project)

    def count(kind: str, **filters: Any) -> int:
        number: int = shared.call("organization.get_entities_count", **{kind: filters}).data[kind]
        return number

    assert count("tasks", project=[project]) == 2
    assert count("tasks", project=[project], tags=["a"]) == 1
    assert count("models", project=[project]) == 1
    assert count("projects", name="^counted") == 1
    assert count("datasets", name="^counted") == 1
    assert count("reports", project=[project], include_subprojects=True) == 1
    assert shared.call("organization.get_entities_count", tasks={"nonsense": 1}).error == (400, 12)
    assert shared.call("organization.get_entities_count").data == {}
    (company,) = shared.call("organization.get_user_companies").data["companies"]
    assert [owner["id"] for owner in company["owners"]] == ["__user__"]


def test_reports(shared: Embedded) -> None:
    project = shared.call("projects.create", name="reported").data["id"]
    created = shared.call("reports.create", name="findings", project=project, tags=["x"], report="# One").data
    report = created["id"]
    assert shared.call("tasks.get_all", project=[project]).data["tasks"] == [], "it is no task of the project"

    def listed(**filters: Any) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = shared.call("reports.get_all_ex", **filters).data["tasks"]
        return reports

    (found,) = listed(project=[project])
    assert found["project"] == {"id": created["project_id"], "name": "reported/.reports"}
    assert (found["report"], found["status"]) == ("# One", "created")
    assert listed(tags=["y"]) == []
    assert shared.call("reports.update", task=report, report="# Two").data["fields"]["report"] == "# Two"
    assert listed(id=[report], only_fields=["report"]) == [{"id": report, "report": "# Two"}]
    moved = shared.call("reports.move", task=report, project_name="reported/elsewhere").data["project_id"]
    assert listed(project=[project]) == []
    assert [item["project"]["id"] for item in listed(project=[project], include_subprojects=True)] == [moved]
    shared.call("reports.archive", task=report, message="old")
    assert listed(system_tags=["archived"])[0]["status_message"] == "old"
    shared.call("reports.unarchive", task=report)
    assert listed(system_tags=["archived"]) == []
    assert shared.call("reports.get_tags").data == {"tags": ["x"]}
    published = shared.call("reports.publish", task=report, message="done").data["fields"]
    assert (published["status"], published["status_message"]) == ("published", "done")
    for call in ("update", "publish", "delete"):
        assert shared.call(f"reports.{call}", task=report).error == (400, 110)
    assert shared.call("reports.delete", task=report, force=True).data == {"deleted": True}
    assert listed(id=[report]) == []


def test_only_reports_are_reports(shared: Embedded) -> None:
    task = shared.new_task()
    for call in ("update", "move", "publish", "archive", "unarchive", "delete"):
        assert shared.call(f"reports.{call}", task=task, project="x", force=False).status == 400
        assert shared.call(f"reports.{call}", task="unknown").status == 400
    assert shared.call("reports.create", name="ab").status == 400
    assert shared.call("reports.create", name="abc", project="unknown").error == (400, 401)


LISTS = [("tasks", {"type": "training"}), ("models", {"uri": "http://f/m"}), ("projects", {}), ("queues", {})]


@pytest.mark.parametrize(("service", "fields"), LISTS)
def test_a_scroll_is_read_again(shared: Embedded, service: str, fields: dict[str, Any]) -> None:
    for number in range(5):
        shared.call(f"{service}.create", name=f"scrolled {number}", **fields)
    asked = {"name": "^scrolled", "order_by": ["name"], "size": 2, "only_fields": ["name"]}

    def names(**arguments: Any) -> tuple[list[str], str]:
        answer = shared.call(f"{service}.get_all", **asked, **arguments).data
        return [item["name"] for item in answer[service]], answer["scroll_id"]

    first, scroll = names()
    second, scroll = names(scroll_id=scroll)
    assert [*first, *second] == [f"scrolled {number}" for number in range(4)]
    again, same = names(scroll_id=scroll, refresh_scroll=True)
    assert (again, same) == ([*first, *second], scroll)
    assert names(scroll_id=scroll)[0] == ["scrolled 4"]
    for never_issued in ("x", "-1", "1 ", "9" * 30):
        assert shared.call(f"{service}.get_all", **asked, scroll_id=never_issued).error == (400, 12)


@pytest.mark.parametrize("call", ["events.get_task_events", "events.get_scalar_metric_data"])
def test_an_event_scroll_that_was_never_issued_is_refused(shared: Embedded, call: str) -> None:
    task = shared.new_task()
    assert shared.call(call, task=task, scroll_id="").status == 200
    for scroll in ("x", "1:", "1:x", "9" * 30 + ":1"):
        assert shared.call(call, task=task, scroll_id=scroll).error == (400, 12)
