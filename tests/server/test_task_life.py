"""What happens to a task: status changes, queues, clones, resets, deletions."""

from typing import Any

import pytest
from support.embedded import Embedded


def queue(server: Embedded, name: str) -> str:
    found = server.call("queues.get_all", name=f"^{name}$").data["queues"]
    created: str = found[0]["id"] if found else server.call("queues.create", name=name).data["id"]
    return created


def running_task(server: Embedded) -> str:
    task = server.new_task()
    server.call("tasks.started", task=task)
    return task


def test_from_draft_to_published(shared: Embedded) -> None:
    task = shared.new_task()
    assert shared.task(task)["status"] == "created"
    shared.call("tasks.enqueue", task=task, queue=queue(shared, "life"))
    assert shared.task(task)["status"] == "queued"
    assert shared.call("queues.get_next_task", queue=queue(shared, "life")).data["entry"]["task"] == task
    first = shared.call("tasks.started", task=task, force=True).data["fields"]
    assert (first["status"], "started" in first) == ("in_progress", True)
    assert "started" not in shared.call("tasks.started", task=task).data["fields"]
    done = shared.call("tasks.completed", task=task, status_reason="done", status_message="by test").data
    assert (done["fields"]["status"], done["published"]) == ("completed", 0)
    shared.call("tasks.publish", task=task)
    stored = shared.task(task)
    assert stored["status"] == "published"
    assert stored["active_duration"] == 0
    assert stored["completed"] >= stored["started"]


@pytest.mark.parametrize(
    ("action", "status"),
    [("tasks.stopped", "stopped"), ("tasks.failed", "failed"), ("tasks.completed", "completed")],
)
def test_how_a_run_ends(shared: Embedded, action: str, status: str) -> None:
    task = running_task(shared)
    answer = shared.call(action, task=task, status_reason="why", status_message="what").data
    assert answer["updated"] == 1
    stored = shared.task(task)
    assert (stored["status"], stored["status_reason"], stored["status_message"]) == (status, "why", "what")


@pytest.mark.parametrize("end", ["stopped", "failed"])
def test_an_ended_task_can_be_enqueued_again(shared: Embedded, end: str) -> None:
    task = running_task(shared)
    shared.call(f"tasks.{end}", task=task)
    answer = shared.call("tasks.enqueue", task=task, queue_name="again").data
    assert answer["fields"]["enqueue_status"] == end
    assert shared.call("queues.get_next_task", queue=queue(shared, "again")).data["entry"]["task"] == task


@pytest.mark.parametrize("status", ["queued", "in_progress", "published"])
def test_queued_running_and_published_tasks_cannot_be_enqueued(shared: Embedded, status: str) -> None:
    task = shared.new_task()
    if status == "queued":
        shared.call("tasks.enqueue", task=task, queue_name="busy")
    else:
        shared.call("tasks.started", task=task)
    if status == "published":
        shared.call("tasks.completed", task=task, publish=True)
    assert shared.task(task)["status"] == status
    assert shared.call("tasks.enqueue", task=task, queue_name="busy").status == 400


def test_dequeue_restores_the_earlier_status(shared: Embedded) -> None:
    task = running_task(shared)
    shared.call("tasks.stopped", task=task)
    shared.call("tasks.enqueue", task=task, queue_name="back")
    assert shared.call("tasks.dequeue", task=task).data["dequeued"] == 1
    assert shared.task(task)["status"] == "stopped"
    assert shared.call("queues.get_num_entries", queue=queue(shared, "back")).data == {"num": 0}
    assert shared.call("tasks.dequeue", task=task).data["dequeued"] == 0
    assert shared.task(task)["status"] == "stopped"


def test_a_queue_is_first_in_first_out_and_can_be_reordered(shared: Embedded) -> None:
    name = queue(shared, "order")
    tasks = [shared.new_task() for _ in range(4)]
    for task in tasks:
        shared.call("tasks.enqueue", task=task, queue=name)
    assert shared.call("queues.move_task_to_front", queue=name, task=tasks[3]).data == {"position": 0}
    assert shared.call("queues.move_task_to_back", queue=name, task=tasks[0]).data == {"position": 3}
    assert shared.call("queues.move_task_backward", queue=name, task=tasks[3], count=1).data == {
        "position": 1
    }
    assert shared.call("queues.remove_task", queue=name, task=tasks[2]).data == {"removed": 1}
    popped = [shared.call("queues.get_next_task", queue=name).data["entry"]["task"] for _ in range(3)]
    assert popped == [tasks[1], tasks[3], tasks[0]]
    assert shared.task(tasks[2])["status"] == "created"


def test_deleting_a_queue_restores_the_status_of_its_tasks(shared: Embedded) -> None:
    name, task = queue(shared, "doomed"), shared.new_task()
    shared.call("tasks.enqueue", task=task, queue=name)
    assert shared.call("queues.delete", queue=name).error == (400, 702)
    assert shared.call("queues.delete", queue=name, force=True).data == {"deleted": 1}
    assert shared.task(task)["status"] == "created"


def test_stop_asks_the_agent_and_stops_what_no_agent_runs(shared: Embedded) -> None:
    by_agent, by_hand = running_task(shared), running_task(shared)
    shared.call("workers.status_report", worker="w", task=by_agent, timestamp=1)
    shared.call("tasks.stop", task=by_hand)
    assert shared.task(by_hand)["status"] == "stopped"
    many = shared.call("tasks.stop_many", ids=[by_agent, "unknown"]).data
    assert [item["id"] for item in many["succeeded"]] == [by_agent]
    assert many["failed"][0]["error"]["codes"] == [400, 101]
    asked = shared.task(by_agent)
    assert (asked["status"], asked["status_message"]) == ("in_progress", "stopping")
    shared.call("tasks.stop", task=by_agent, force=True)
    assert shared.task(by_agent)["status"] == "stopped"


def test_edit_replaces_whole_parts(shared: Embedded) -> None:
    task = shared.new_task()
    shared.call("tasks.edit", task=task, runtime={"a": 1, "b": 2}, hyperparams={"s": {"n": {"value": "1"}}})
    answer = shared.call("tasks.edit", task=task, runtime={"c": 3}).data
    assert answer["fields"]["runtime"] == {"c": 3}
    stored = shared.task(task)
    assert stored["runtime"] == {"c": 3}
    assert stored["hyperparams"] == {"s": {"n": {"section": "s", "name": "n", "value": "1"}}}


def test_changing_labels_does_not_update_the_run(shared: Embedded) -> None:
    task = shared.new_task()
    before = shared.task(task)["last_update"]
    assert (
        "last_update"
        not in shared.call("tasks.edit", task=task, name="renamed", tags=["b", "a"]).data["fields"]
    )
    stored = shared.task(task)
    assert (stored["last_update"], stored["tags"]) == (before, ["a", "b"])


def test_a_completed_task_is_edited_by_force_only(shared: Embedded) -> None:
    task = running_task(shared)
    shared.call("tasks.completed", task=task)
    assert shared.call("tasks.edit", task=task, runtime={"a": 1}).error == (400, 110)
    assert shared.call("tasks.edit", task=task, runtime={"a": 1}, force=True).data["updated"] == 1
    assert shared.call("tasks.update", task=task, tags=["kept"], comment="seen").data["updated"] == 1


def test_parameters_one_by_one(shared: Embedded) -> None:
    task = shared.new_task()

    def edit(*items: tuple[str, str, str], replace: str = "none") -> dict[str, Any]:
        given = [{"section": section, "name": name, "value": value} for section, name, value in items]
        shared.call("tasks.edit_hyper_params", task=task, hyperparams=given, replace_hyperparams=replace)
        sections = shared.task(task)["hyperparams"]
        return {
            section: {name: item["value"] for name, item in items.items()}
            for section, items in sections.items()
        }

    assert edit(("a", "x", "1"), ("b", "y", "2")) == {"a": {"x": "1"}, "b": {"y": "2"}}
    assert edit(("a", "z", "3")) == {"a": {"x": "1", "z": "3"}, "b": {"y": "2"}}
    assert edit(("a", "n", "4"), replace="section") == {"a": {"n": "4"}, "b": {"y": "2"}}
    assert edit(("c", "o", "5"), replace="all") == {"c": {"o": "5"}}
    shared.call("tasks.delete_hyper_params", task=task, hyperparams=[{"section": "c", "name": "o"}])
    assert shared.call("tasks.get_hyper_params", tasks=[task]).data == {
        "params": [{"task": task, "hyperparams": []}]
    }


def test_configuration_objects(shared: Embedded) -> None:
    task = shared.new_task()
    items = [{"name": "a", "value": "1", "type": "json"}, {"name": "b", "value": "2"}]
    shared.call("tasks.edit_configuration", task=task, configuration=items)
    shared.call("tasks.delete_configuration", task=task, configuration=["a"])
    found = shared.call("tasks.get_configurations", tasks=[task], names=["a", "b"]).data
    assert found == {"configurations": [{"task": task, "configuration": [{"name": "b", "value": "2"}]}]}


def test_artifacts_are_identified_by_key_and_mode(shared: Embedded) -> None:
    task = shared.new_task()
    for uri in ("http://f/1", "http://f/2"):
        shared.call(
            "tasks.add_or_update_artifacts", task=task, artifacts=[{"key": "a", "type": "x", "uri": uri}]
        )
    given = [{"key": "a", "type": "x", "uri": "http://f/3", "mode": "input"}]
    shared.call("tasks.add_or_update_artifacts", task=task, artifacts=given)
    artifacts = shared.task(task)["execution"]["artifacts"]
    assert [(item["mode"], item["uri"]) for item in artifacts] == [
        ("input", "http://f/3"),
        ("output", "http://f/2"),
    ]
    assert (
        shared.call("tasks.delete_artifacts", task=task, artifacts=[{"key": "a", "mode": "input"}]).data[
            "deleted"
        ]
        == 1
    )


def test_a_clone_copies_settings_and_no_results(shared: Embedded) -> None:
    project = shared.call("projects.create", name="clones").data["id"]
    source = shared.new_task(
        project=project, script={"diff": "print(1)"}, system_tags=["development"], tags=["t"]
    )
    shared.call("tasks.edit", task=source, runtime={"r": 1}, hyperparams={"s": {"n": {"value": "1"}}})
    shared.call("tasks.add_or_update_artifacts", task=source, artifacts=[{"key": "a", "type": "x"}])
    clone = shared.task(shared.call("tasks.clone", task=source, new_task_name="again").data["id"])
    assert (clone["name"], clone["parent"], clone["status"], clone["project"]) == (
        "again",
        source,
        "created",
        project,
    )
    assert clone["script"]["diff"] == "print(1)"
    assert clone["hyperparams"]["s"]["n"]["value"] == "1"
    assert clone["tags"] == ["t"]
    assert (clone["runtime"], clone["execution"]["artifacts"], clone["system_tags"]) == ({}, [], [])


def test_new_pipeline_runs_are_numbered(shared: Embedded) -> None:
    project = shared.call("projects.create", name="counting").data["id"]
    first = shared.new_task(name="run", type="controller", project=project)
    shared.call("tasks.edit", task=first, hyperparams={"Args": {"lr": {"value": "1", "type": "float"}}})
    start = {"args": [{"name": "lr", "value": "2"}], "queue": queue(shared, "pipes")}
    second = shared.call("pipelines.start_pipeline", task=first, **start).data["pipeline"]
    third = shared.call("pipelines.start_pipeline", task=second, **start).data["pipeline"]
    assert [shared.task(task)["name"] for task in (second, third)] == ["run #2", "run #3"]
    stored = shared.task(second)
    assert (stored["status"], stored["parent"]) == ("queued", first)
    assert stored["hyperparams"]["Args"]["lr"]["value"] == "2"


def test_reset_turns_a_task_into_a_draft(shared: Embedded) -> None:
    task = running_task(shared)
    shared.events(
        {"type": "training_stats_scalar", "task": task, "metric": "m", "variant": "v", "iter": 5, "value": 1}
    )
    shared.call("tasks.add_or_update_artifacts", task=task, artifacts=[{"key": "a", "type": "x"}])
    shared.call("tasks.stopped", task=task)
    assert shared.call("tasks.reset", task=task).data["updated"] == 1
    stored = shared.task(task)
    assert (stored["status"], stored["last_metrics"], stored["last_iteration"]) == ("created", {}, 0)
    assert stored["execution"]["artifacts"] == []
    assert "started" not in stored
    assert shared.call("events.get_task_events", task=task).data["total"] == 0


def test_delete_removes_events_and_detaches_children(shared: Embedded) -> None:
    parent = running_task(shared)
    child = shared.new_task(parent=parent)
    model = shared.call("models.create", name="weights", uri="file:///m", task=parent, ready=False).data["id"]
    shared.events({"type": "log", "task": parent, "msg": "hello", "timestamp": 1})
    assert shared.call("tasks.delete", task=parent).error == (400, 123)
    answer = shared.call("tasks.delete", task=parent, force=True).data
    assert (answer["deleted"], answer["updated_children"], answer["deleted_models"]) == (True, 1, 1)
    assert shared.call("tasks.get_by_id", task=parent).error == (400, 101)
    assert shared.call("models.get_by_id", model=model).status == 400
    assert "parent" not in shared.task(child)
    assert shared.call("events.get_task_events", task=parent).error == (400, 101)


def test_archived_tasks_are_found_only_on_demand(shared: Embedded) -> None:
    task = shared.new_task(name="old")
    shared.call("tasks.archive_many", ids=[task])
    assert shared.task(task)["system_tags"] == ["archived"]
    assert shared.call("tasks.get_all", name="^old$", system_tags=["-archived"]).data["tasks"] == []
    shared.call("tasks.unarchive_many", ids=[task])
    assert len(shared.call("tasks.get_all", name="^old$", system_tags=["-archived"]).data["tasks"]) == 1


def test_the_registry_of_models(shared: Embedded) -> None:
    model = shared.call("models.create", name="best", uri="file:///m", ready=False, tags=["b", "a"]).data[
        "id"
    ]
    shared.call(
        "models.add_or_update_metadata",
        model=model,
        metadata=[{"key": "f2", "type": "float", "value": "0.9"}],
    )
    assert shared.call("models.set_ready", model=model).data["updated"] == 1
    stored = shared.call("models.get_by_id", model=model).data["model"]
    assert (stored["ready"], stored["metadata"]["f2"]["value"], stored["tags"]) == (True, "0.9", ["a", "b"])
    assert len(shared.call("models.get_all", ready=True, name="^best$").data["models"]) == 1
    shared.call("models.delete_metadata", model=model, keys=["f2"])
    assert shared.call("models.delete", model=model).error == (400, 203)
    assert shared.call("models.delete", model=model, force=True).data["deleted"] is True


def test_projects_are_a_tree(shared: Embedded) -> None:
    leaf = shared.call("projects.create", name="tree/a/.hidden/leaf").data["id"]
    assert shared.call("projects.create", name="tree/a/.hidden/leaf").error == (400, 801)
    visible = shared.call("projects.get_all", name="^tree(/|$)").data["projects"]
    assert [project["name"] for project in visible] == ["tree", "tree/a", "tree/a/.hidden/leaf"]
    root = visible[0]["id"]
    task = shared.new_task(project=leaf)
    assert shared.call("projects.delete", project=root).error == (400, 402)
    found = shared.call("tasks.get_all", project=[root], include_subprojects=True).data["tasks"]
    assert [item["id"] for item in found] == [task]
    shared.call("projects.update", project=root, name="renamed")
    assert shared.call("projects.get_by_id", project=leaf).data["project"]["name"] == "renamed/a/.hidden/leaf"
    assert (
        shared.call("projects.delete", project=root, force=True, delete_contents=True).data["deleted_tasks"]
        == 1
    )
    assert shared.call("tasks.get_by_id", task=task).status == 400


def run_with_steps(server: Embedded) -> tuple[str, list[str]]:
    """A running controller with a running and a completed step."""
    run = server.new_task(type="controller")
    steps = [server.new_task(parent=run) for _ in range(2)]
    for task in (run, *steps):
        server.call("tasks.started", task=task)
    server.call("tasks.completed", task=steps[1])
    return run, steps


@pytest.mark.parametrize("many", [True, False])
def test_a_run_is_stopped_archived_and_deleted_with_its_steps(shared: Embedded, many: bool) -> None:
    run, steps = run_with_steps(shared)
    clone = shared.call("tasks.clone", task=run).data["id"]

    def act(call: str, argument: str, **arguments: Any) -> None:
        whose = {f"{call}_many": {"ids": [run]}} if many else {call: {argument: run}}
        if call == "tasks.archive" and not many:
            whose = {call: {"tasks": [run]}}
        for name, target in whose.items():
            assert shared.call(name, **target, **arguments, include_pipeline_steps=True).status == 200

    act("tasks.stop", "task")
    assert [shared.task(task)["status"] for task in (run, *steps)] == ["stopped", "stopped", "completed"]
    act("tasks.archive", "tasks")
    assert all("archived" in shared.task(task)["system_tags"] for task in (run, *steps))
    act("tasks.delete", "task", force=True)
    assert [shared.call("tasks.get_by_id", task=task).status for task in (run, *steps)] == [400] * 3
    assert shared.task(clone)["system_tags"] == []


def test_without_the_flag_the_steps_stay_as_they_are(shared: Embedded) -> None:
    run, steps = run_with_steps(shared)
    shared.call("tasks.stop", task=run)
    shared.call("tasks.archive", tasks=[run])
    shared.call("tasks.delete", task=run, force=True)
    assert [shared.task(task)["status"] for task in steps] == ["in_progress", "completed"]


def test_completing_and_publishing_at_once_answers_published(shared: Embedded) -> None:
    task = running_task(shared)
    answer = shared.call("tasks.completed", task=task, publish=True).data
    assert (answer["fields"]["status"], answer["published"]) == ("published", 1)


def test_enqueue_removes_the_tag_of_development(shared: Embedded) -> None:
    task = shared.new_task(system_tags=["development", "kept"])
    shared.call("tasks.enqueue", task=task, queue=queue(shared, "from development"))
    assert shared.task(task)["system_tags"] == ["kept"]


def output_model(server: Embedded, task: str) -> str:
    fields = {"name": "weights", "uri": "file:///m", "task": task, "ready": False}
    model: str = server.call("models.create", **fields).data["id"]
    return model


def test_publishing_a_model_publishes_its_task(shared: Embedded) -> None:
    task = running_task(shared)
    model = output_model(shared, task)
    assert shared.call("models.set_ready", model=model).error == (400, 110)
    assert shared.call("models.get_by_id", model=model).data["model"]["ready"] is False
    shared.call("tasks.stopped", task=task)
    answer = shared.call("models.set_ready", model=model).data
    assert answer["published_task"]["id"] == task
    assert answer["published_task"]["data"]["fields"]["status"] == "published"
    assert shared.task(task)["status"] == "published"
    assert shared.call("models.set_ready", model=model).error == (400, 203)


def test_a_model_alone_is_published_as_the_sdk_does(shared: Embedded) -> None:
    task = running_task(shared)
    model = output_model(shared, task)
    assert shared.call("models.set_ready", model=model, publish_task=False).data["updated"] == 1
    assert shared.task(task)["status"] == "in_progress"
