"""What the services tell about what is stored, and the calls over many ids."""

from typing import Any

import pytest
from support.embedded import Embedded


@pytest.fixture(scope="module")
def story(shared: Embedded) -> dict[str, str]:
    """One project with one task that has reported something of every kind."""
    project = shared.call("projects.create", name="reads", tags=["p"]).data["id"]
    parent = shared.new_task(name="parent", project=project, type="controller")
    task = shared.new_task(
        name="child", project=project, parent=parent, tags=["t"], hyperparams={"a": {"b": {"value": "1"}}}
    )
    model = shared.call(
        "models.create", name="weights", uri="file:///m", project=project, task=task, tags=["m"]
    ).data["id"]
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "loss", "variant": "train"}
    events: list[dict[str, Any]] = [
        *({**scalar, "iter": n, "value": float(n), "timestamp": 1000 + n} for n in range(10)),
        {**scalar, "metric": "Summary", "variant": "f2", "iter": -(2**31), "value": 0.9, "timestamp": 5},
        *(
            {"type": "plot", "task": task, "metric": "p", "variant": "v", "iter": n, "plot_str": "{}"}
            for n in (0, 1)
        ),
        *(
            {
                "type": "training_debug_image",
                "task": task,
                "metric": "i",
                "variant": v,
                "iter": n,
                "url": f"http://f/{n}{v}",
            }
            for n in range(3)
            for v in ("x", "y")
        ),
        {
            "type": "training_stats_vector",
            "task": task,
            "metric": "vec",
            "variant": "h",
            "iter": 0,
            "values": [1, 2],
        },
        *({"type": "log", "task": task, "msg": f"line {n}", "timestamp": 100 + n} for n in range(7)),
    ]
    assert shared.events(*events).data["errors"] == 0
    return {"project": project, "parent": parent, "task": task, "model": model}


def test_the_log_page_by_page(shared: Embedded, story: dict[str, str]) -> None:
    def read(**arguments: Any) -> list[str]:
        events = shared.call("events.get_task_log", task=story["task"], batch_size=3, **arguments).data[
            "events"
        ]
        return [event["msg"] for event in events]

    assert read() == ["line 6", "line 5", "line 4"]
    assert read(order="asc") == ["line 4", "line 5", "line 6"]
    assert read(from_timestamp=104) == ["line 3", "line 2", "line 1"]
    assert read(navigate_earlier=False, from_timestamp=104) == ["line 5", "line 6"]
    assert shared.call("events.download_task_log", task=story["task"]).data["lines"][0] == "line 0"


def test_events_by_scrolling(shared: Embedded, story: dict[str, str]) -> None:
    seen: list[float] = []
    scroll = ""
    while True:
        page = shared.call(
            "events.get_scalar_metric_data", task=story["task"], metric="loss", batch_size=4, scroll_id=scroll
        )
        if not page.data["events"]:
            break
        seen += [event["value"] for event in page.data["events"]]
        scroll = page.data["scroll_id"]
    assert page.data["total"] == 10
    assert seen == [float(n) for n in range(10)]
    assert shared.call("events.clear_scroll", scroll_id=scroll).data == {}


def test_curves_are_averaged_in_bins(shared: Embedded, story: dict[str, str]) -> None:
    curve = shared.call(
        "events.scalar_metrics_iter_histogram", task=story["task"], key="iter", samples=5
    ).data["loss"]["train"]
    assert curve == {"name": "train", "x": [0, 2, 4, 6, 8], "y": [0.5, 2.5, 4.5, 6.5, 8.5]}
    only = [{"metric": "nothing", "variants": None}]
    assert shared.call("events.scalar_metrics_iter_histogram", task=story["task"], metrics=only).data == {}
    assert shared.call("events.scalar_metrics_iter_histogram", task=story["task"], key="?").error == (400, 12)
    many = shared.call(
        "events.multi_task_scalar_metrics_iter_histogram", tasks=[story["task"]], key="timestamp"
    ).data
    assert many["metrics"]["loss"]["train"][story["task"]]["x"][:2] == [1000, 1001]


@pytest.mark.parametrize("samples", [0, 1, 7, 50, 150, 299, 300, 5000])
def test_a_bin_is_the_mean_of_its_points(shared: Embedded, uneven: str, samples: int) -> None:
    """Bins are equally wide, however far the reports are apart; a curve of few points is whole."""
    asked = {"task": uneven, "key": "iter", "samples": samples}
    metrics = shared.call("events.scalar_metrics_iter_histogram", **asked).data
    assert metrics.keys() == {"", "loss"}
    points = [n**3 for n in range(300)]
    bins: dict[int, list[int]] = {}
    for point in points:
        width = -(-(points[-1] + 1) // samples) if 0 < samples < 300 else 1
        bins.setdefault(point // width, []).append(point)
    means = [sum(values) / len(values) for values in bins.values()]
    for curve in (metrics[""][""], metrics["loss"]["train"]):
        assert curve["x"] == [int(mean) for mean in means]
        assert curve["y"] == pytest.approx(means)


@pytest.fixture(scope="module")
def uneven(shared: Embedded) -> str:
    """A task with two curves of 300 points at growing distances, and a single value."""
    task = shared.new_task(name="uneven")
    points = [
        {"type": "training_stats_scalar", "task": task, "iter": n**3, "value": n**3, "timestamp": n}
        for n in range(300)
    ]
    shared.events(*points, *({**point, "metric": "loss", "variant": "train"} for point in points))
    single = {"metric": "Summary", "variant": "best", "iter": -(2**31), "value": 1.0, "timestamp": 1}
    shared.events({"type": "training_stats_scalar", "task": task, **single})
    return task


def test_plots_and_images_from_the_latest_back(shared: Embedded, story: dict[str, str]) -> None:
    task = story["task"]
    assert [plot["iter"] for plot in shared.call("events.get_task_plots", task=task).data["plots"]] == [1]
    assert shared.call("events.get_task_plots", task=task, iters=5).data["returned"] == 2
    assert "1" in shared.call("events.get_multi_task_plots", tasks=[task]).data["plots"]["p"]["v"][task]
    asked = {"metrics": [{"task": task, "metric": "i", "variants": ["x"]}], "iters": 2}
    first = shared.call("events.debug_images", **asked).data
    assert [item["iter"] for item in first["metrics"][0]["iterations"]] == [2, 1]
    assert [event["url"] for event in first["metrics"][0]["iterations"][0]["events"]] == ["http://f/2x"]
    rest = shared.call("events.debug_images", **asked, scroll_id=first["scroll_id"]).data
    assert [item["iter"] for item in rest["metrics"][0]["iterations"]] == [0]


READS: list[tuple[str, dict[str, Any], Any]] = [
    (
        "events.get_scalar_metrics_and_variants",
        {"task": "{task}"},
        {"metrics": {"Summary": ["f2"], "loss": ["train"]}},
    ),
    ("events.get_vector_metrics_and_variants", {"task": "{task}"}, {"metrics": {"vec": ["h"]}}),
    (
        "events.get_task_metrics",
        {"tasks": ["{task}"], "event_type": "plot"},
        {"metrics": [{"task": "{task}", "metrics": ["p"]}]},
    ),
    (
        "events.get_task_single_value_metrics",
        {"tasks": ["{task}"]},
        {
            "tasks": [
                {
                    "task": "{task}",
                    "values": [{"metric": "Summary", "variant": "f2", "value": 0.9, "timestamp": 5}],
                }
            ]
        },
    ),
    ("projects.get_task_tags", {"projects": ["{project}"]}, {"tags": ["t"]}),
    ("projects.get_model_tags", {"projects": ["{project}"]}, {"tags": ["m"]}),
    ("projects.get_project_tags", {}, {"tags": ["p"]}),
    ("organization.get_tags", {}, {"tags": ["m", "p", "t"]}),
    (
        "projects.get_hyper_parameters",
        {"project": "{project}"},
        {"parameters": [{"section": "a", "name": "b"}], "total": 1, "remaining": 0},
    ),
    (
        "projects.get_hyperparam_values",
        {"projects": ["{project}"], "section": "a", "name": "b"},
        {"values": ["1"], "total": 1},
    ),
    (
        "projects.get_task_parents",
        {"projects": ["{project}"]},
        {"parents": [{"id": "{parent}", "name": "parent", "project": {"id": "{project}"}}]},
    ),
    (
        "projects.validate_delete",
        {"project": "{project}"},
        {
            "tasks": 2,
            "non_archived_tasks": 2,
            "models": 1,
            "non_archived_models": 1,
            "reports": 0,
            "non_archived_reports": 0,
            "pipelines": 0,
            "datasets": 0,
        },
    ),
    ("tasks.get_types", {"projects": ["{project}"]}, {"types": ["controller", "training"]}),
    (
        "tasks.get_configuration_names",
        {"tasks": ["{task}"]},
        {"configurations": [{"task": "{task}", "names": []}]},
    ),
    ("tasks.validate", {"name": "valid", "type": "training"}, {}),
    ("models.get_frameworks", {}, {"frameworks": []}),
    ("workers.get_count", {}, {"count": 0}),
]


@pytest.mark.parametrize(("endpoint", "request_", "expected"), READS)
def test_reads(
    shared: Embedded, story: dict[str, str], endpoint: str, request_: dict[str, Any], expected: Any
) -> None:
    import json

    def filled(value: Any) -> Any:
        text = json.dumps(value)
        for name, known in story.items():
            text = text.replace(f"{{{name}}}", known)
        return json.loads(text)

    assert shared.call(endpoint, **filled(request_)).data == filled(expected)


def test_metrics_of_a_project(shared: Embedded, story: dict[str, str]) -> None:
    found = shared.call("projects.get_unique_metric_variants", project=story["project"]).data["metrics"]
    assert [(item["metric"], item["variant"]) for item in found] == [("Summary", "f2"), ("loss", "train")]
    assert found[1]["metric_hash"] == "81513effdf5790b79549208838404407"
    latest = shared.call("events.get_task_latest_scalar_values", task=story["task"]).data["metrics"]
    assert {item["name"]: item["variants"][0]["last_value"] for item in latest} == {
        "loss": 9.0,
        "Summary": 0.9,
    }


def test_extended_answers_name_their_references(shared: Embedded, story: dict[str, str]) -> None:
    (model,) = shared.call("models.get_all_ex", id=[story["model"]]).data["models"]
    assert model["task"] == {"id": story["task"], "name": "child"}
    assert shared.call("models.get_by_task_id", task=story["task"]).data["model"]["id"] == story["model"]
    (task,) = shared.call("tasks.get_by_id_ex", id=[story["task"]], only_fields=["parent.name", "name"]).data[
        "tasks"
    ]
    assert task == {"id": story["task"], "parent": {"name": "parent"}, "name": "child"}
    (project,) = shared.call("projects.get_all_ex", id=[story["project"]], include_stats=True).data[
        "projects"
    ]
    assert project["stats"]["active"]["status_count"] == {"created": 2}


def test_the_one_user(shared: Embedded) -> None:
    user = shared.call("users.get_current_user").data["user"]
    assert shared.call("users.get_by_id", user=user["id"]).data["user"] == user
    assert [found["id"] for found in shared.call("users.get_all").data["users"]] == [user["id"]]
    assert shared.call("users.get_all_ex").data["users"] == [user]
    assert shared.call("users.set_preferences", preferences={"theme": "dark"}).data["updated"] == 1
    assert shared.call("users.get_preferences").data == {"preferences": {"theme": "dark"}}


def test_bulk_calls_report_the_failures(shared: Embedded) -> None:
    tasks = [shared.new_task() for _ in range(2)]
    steps = [
        ("tasks.enqueue_many", {"queue_name": "many"}, "queued"),
        ("tasks.dequeue_many", {}, "created"),
        ("tasks.reset_many", {}, "created"),
        ("tasks.publish_many", {"force": True}, "published"),
    ]
    for endpoint, arguments, status in steps:
        answer = shared.call(endpoint, ids=[tasks[0], "unknown", tasks[1]], **arguments).data
        assert [item["id"] for item in answer["succeeded"]] == tasks
        assert [(item["id"], item["error"]["codes"]) for item in answer["failed"]] == [
            ("unknown", [400, 101])
        ]
        assert {shared.task(task)["status"] for task in tasks} == {status}
    shared.call("tasks.update_tags", ids=tasks, add_tags=["x", "y"], remove_tags=["y"])
    assert shared.task(tasks[0])["tags"] == ["x"]
    assert shared.call("tasks.archive", tasks=tasks).data == {"archived": 2}
    assert shared.call("tasks.delete_many", ids=tasks).data["succeeded"] == []
    assert len(shared.call("tasks.delete_many", ids=tasks, force=True).data["succeeded"]) == 2


def test_bulk_calls_on_models(shared: Embedded) -> None:
    ids = [
        shared.call("models.create", name=name, uri="file:///m", ready=False).data["id"]
        for name in ("first", "second")
    ]
    shared.call("models.archive_many", ids=ids)
    assert shared.call("models.get_by_id", model=ids[0]).data["model"]["system_tags"] == ["archived"]
    shared.call("models.unarchive_many", ids=ids)
    assert shared.call("models.move", ids=ids, project_name="models/here").data["updated"] == 2
    assert shared.call("models.update", model=ids[0], comment="seen").data["fields"]["comment"] == "seen"
    assert len(shared.call("models.publish_many", ids=ids).data["succeeded"]) == 2
    assert shared.call("models.delete_many", ids=ids).data["failed"][0]["error"]["codes"] == [400, 203]
    assert len(shared.call("models.delete_many", ids=ids, force=True).data["succeeded"]) == 2


def test_the_output_model_of_a_task(shared: Embedded) -> None:
    task = shared.new_task(name="trains")
    made = shared.call("models.update_for_task", task=task, uri="http://f/1", iteration=3).data
    assert made["created"] is True
    assert shared.call("models.update_for_task", task=task, uri="http://f/2").data["created"] is False
    (output,) = shared.task(task)["models"]["output"]
    assert output["model"] == made["id"]
    assert shared.call("models.get_by_id", model=made["id"]).data["model"]["uri"] == "http://f/2"
    shared.call("tasks.delete_models", task=task, models=[{"type": "output", "name": output["name"]}])
    assert shared.task(task)["models"]["output"] == []


def test_queues_are_renamed_and_peeked(shared: Embedded) -> None:
    queue = shared.call("queues.create", name="first name").data["id"]
    assert shared.call("queues.update", queue=queue, name="default").error == (400, 801)
    assert shared.call("queues.update", queue=queue, name="second name", tags=["gpu"]).data["updated"] == 1
    tasks = [shared.new_task() for _ in range(2)]
    for task in tasks:
        assert shared.call("queues.add_task", queue=queue, task=task).data == {"added": 1}
    assert shared.call("queues.move_task_forward", queue=queue, task=tasks[1]).data == {"position": 0}
    assert shared.call("queues.peek_task", queue=queue).data == {"task": tasks[1]}


def test_projects_move(shared: Embedded) -> None:
    project = shared.call("projects.create", name="from/here").data["id"]
    assert shared.call("projects.move", project=project, new_location="to/there").data == {"moved": 1}
    assert shared.call("projects.get_by_id", project=project).data["project"]["name"] == "to/there/here"


def test_events_one_by_one_and_gone(shared: Embedded) -> None:
    task = shared.new_task()
    added = shared.call(
        "events.add", type="training_stats_scalar", task=task, metric="m", variant="v", iter=0, value=1
    )
    assert added.data["added"] == 1
    assert shared.call("events.delete_for_task", task=task).data == {"deleted": True}
    assert shared.task(task)["last_metrics"] == {}


def test_a_request_to_stop(shared: Embedded) -> None:
    task = shared.new_task()
    shared.call("tasks.started", task=task)
    assert shared.call("tasks.stop_request", task=task).data["fields"]["status"] == "stopped"
