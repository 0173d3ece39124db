"""What ClearML's own server checks and filters, by the facts recorded from it: ours does the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.embedded import Embedded

TAGS: list[list[str]] = [[], ["a"], ["a", "b"], ["b"]]
"""The tags of four tasks, which the tests name by their place."""


@pytest.fixture(scope="module")
def four(shared: Embedded) -> list[str]:
    """Four tasks with TAGS, of different types and statuses."""
    project = shared.call("projects.create", name="strict").data["id"]
    types = ("training", "testing", "inference", "qc")
    tasks = [
        shared.new_task(name=f"strict {place}", project=project, tags=tags, type=types[place])
        for place, tags in enumerate(TAGS)
    ]
    shared.call("tasks.started", task=tasks[1])
    shared.call("tasks.started", task=tasks[2])
    shared.call("tasks.completed", task=tasks[2])
    return tasks


def places(server: Embedded, four: list[str], call: str = "tasks.get_all", **query: Any) -> list[int]:
    found = server.call(call, id=four, **query).data["tasks"]
    return [four.index(task["id"]) for task in found]


LISTS: list[tuple[list[str | None], list[int]]] = [
    (["a"], [1, 2]),
    (["-a"], [0, 3]),
    (["__$all", "a", "b"], [2]),
    (["__$and", "a", "b"], [2]),
    (["__$or", "a", "b"], [1, 2, 3]),
    (["__$not", "a"], [0, 3]),
    (["__$not", "a", "__$not", "b"], [0]),
    (["__$or", "a", "__$not", "b"], [0, 1, 2]),
    ([None], [0]),
    ([None, "b"], [0, 2, 3]),
]


@pytest.mark.parametrize("call", ["tasks.get_all", "tasks.get_all_ex"])
@pytest.mark.parametrize(("tags", "expected"), LISTS)
def test_tags(
    shared: Embedded, four: list[str], tags: list[str | None], expected: list[int], call: str
) -> None:
    assert places(shared, four, call, tags=tags) == expected


STRUCTURED: list[tuple[Any, list[int]]] = [
    ({"any": {"include": ["a"]}}, [1, 2]),
    ({"any": {"include": ["a", "b"]}}, [1, 2, 3]),
    ({"all": {"include": ["a", "b"]}}, [2]),
    ({"any": {"exclude": ["a"]}}, [0, 3]),
    ({"any": {"exclude": ["a", "b"]}}, [0]),
    ({"all": {"exclude": ["a", "b"]}}, [0, 1, 3]),
    ({"any": {"include": ["a"], "exclude": ["b"]}}, [1]),
    ({"any": {"include": ["a"]}, "all": {"exclude": ["b"]}, "op": "or"}, [0, 1, 2]),
    ({"any": {"include": []}}, [0]),
    ({"any": {"include": [None]}}, [0]),
    ([], [0]),
]


@pytest.mark.parametrize("call", ["tasks.get_all", "tasks.get_all_ex"])
@pytest.mark.parametrize(("spec", "expected"), STRUCTURED)
def test_structured_filters(
    shared: Embedded, four: list[str], spec: Any, expected: list[int], call: str
) -> None:
    assert places(shared, four, call, filters={"tags": spec}) == expected


@pytest.mark.parametrize("service", ["models", "projects", "queues"])
@pytest.mark.parametrize("call", ["get_all", "get_all_ex"])
def test_structured_filters_of_every_service(shared: Embedded, service: str, call: str) -> None:
    fields = {"uri": "file:///m"} if service == "models" else {}
    name = f"filtered {service} {call}"
    created = shared.call(f"{service}.create", name=name, tags=["only here"], **fields).data["id"]
    filters = {"tags": {"any": {"include": ["only here"]}}}
    found = shared.call(f"{service}.{call}", name=f"^{name}$", filters=filters).data[service]
    assert [item["id"] for item in found] == [created]
    filters = {"tags": {"any": {"exclude": ["only here"]}}}
    assert shared.call(f"{service}.{call}", name=f"^{name}$", filters=filters).data[service] == []


VALUES: list[tuple[dict[str, Any], list[int]]] = [
    ({"type": ["__$not", "training"]}, [1, 2, 3]),
    ({"type": ["__$not", "training", "__$not", "qc"]}, [1, 2]),
    ({"type": ["training", "qc"]}, [0, 3]),
    ({"status": ["__$not", "created"]}, [1, 2]),
    ({"status": ["__$not", "created", "__$not", "completed"]}, [1]),
    ({"system_tags": ["__$not", "archived"]}, [0, 1, 2, 3]),
    ({"filters": {"status": {"any": {"exclude": ["created"]}}}}, [1, 2]),
    ({"parent": [None]}, [0, 1, 2, 3]),
]


@pytest.mark.parametrize(("query", "expected"), VALUES)
def test_negation_works_on_every_list(
    shared: Embedded, four: list[str], query: dict[str, Any], expected: list[int]
) -> None:
    assert places(shared, four, **query) == expected


def test_a_range_may_be_open_at_either_end(shared: Embedded, four: list[str]) -> None:
    long_ago, far = "2020-01-01T00:00:00", "2120-01-01T00:00:00"
    for field, expected in (("last_update", [0, 1, 2, 3]), ("started", [1, 2])):
        assert places(shared, four, **{field: [long_ago, None]}) == expected
        assert places(shared, four, **{field: [None, far]}) == expected
        assert places(shared, four, **{field: [long_ago, far]}) == expected
        assert places(shared, four, **{field: [far, None]}) == []
        assert places(shared, four, **{field: [None, long_ago]}) == []


def test_an_order_puts_missing_values_last(shared: Embedded, four: list[str]) -> None:
    assert places(shared, four, order_by=["started"]) == [1, 2, 0, 3]
    assert places(shared, four, order_by=["-started"]) == [2, 1, 0, 3]


def test_names_sort_as_text(shared: Embedded) -> None:
    ids = [shared.new_task(name=f"task {number}") for number in (10, 9, 1)]
    found = shared.call("tasks.get_all", id=ids, order_by=["name"]).data["tasks"]
    assert [task["name"] for task in found] == ["task 1", "task 10", "task 9"]


def test_subprojects_are_included_on_demand(shared: Embedded) -> None:
    names = ("family", "family/child", "family/child/grandchild")
    projects = [shared.call("projects.create", name=name).data["id"] for name in names]
    task = shared.new_task(project=projects[2])
    model = shared.call("models.create", name="weights", uri="file:///m", project=projects[2]).data["id"]
    for service, member in (("tasks", task), ("models", model)):
        asked = {"project": [projects[0]]}
        assert shared.call(f"{service}.get_all", **asked).data[service] == []
        found = shared.call(f"{service}.get_all", **asked, include_subprojects=True).data[service]
        assert [item["id"] for item in found] == [member]
    direct = shared.call("projects.get_all", parent=[projects[0]]).data["projects"]
    below = shared.call("projects.get_all", parent=[projects[0]], include_subprojects=True).data["projects"]
    assert [project["id"] for project in direct] == [projects[1]]
    assert [project["id"] for project in below] == projects[1:]


def test_workers_are_filtered(shared: Embedded) -> None:
    for name, tags in (("host:gpu0", ["fast"]), ("host:gpu1", []), ("other:0", ["fast"])):
        shared.call("workers.register", worker=name, tags=tags, system_tags=["k8s"] if tags else [])

    def names(**query: Any) -> list[str]:
        return [worker["id"] for worker in shared.call("workers.get_all", **query).data["workers"]]

    assert names(worker_pattern="host:*") == ["host:gpu0", "host:gpu1"]
    assert names(worker_pattern="*0") == ["host:gpu0", "other:0"]
    assert names(worker_pattern="host") == []
    assert names(tags=["fast"], worker_pattern="host*") == ["host:gpu0"]
    assert names(tags=["-fast"]) == ["host:gpu1"]
    assert names(system_tags=["k8s"]) == ["host:gpu0", "other:0"]
    assert shared.call("workers.get_count", tags=["fast"]).data == {"count": 2}


def test_a_silent_worker_is_gone_whatever_was_asked(shared: Embedded) -> None:
    shared.call("workers.register", worker="brief", timeout=1)

    def is_listed() -> bool:
        workers = shared.call("workers.get_all", last_seen=3600, worker_pattern="brief").data["workers"]
        return bool(workers)

    assert is_listed()
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while is_listed():
        assert datetime.now(UTC) < deadline


def test_queues_of_kubernetes_are_hidden(shared: Embedded) -> None:
    queue = shared.call("queues.create", name="glued", system_tags=["k8s-glue"]).data["id"]
    for call in ("queues.get_all", "queues.get_all_ex"):
        assert shared.call(call, name="^glued$").data["queues"] == []
        (found,) = shared.call(call, name="^glued$", search_hidden=True).data["queues"]
        assert found["id"] == queue


@pytest.fixture(scope="module")
def reports(shared: Embedded) -> str:
    """A task with plots and log lines of two metrics and three iterations."""
    task = shared.new_task(name="reports")
    events = []
    for metric, variant in (("loss", "train"), ("loss", "valid"), ("f2", "valid")):
        for iteration in range(3):
            place = {"task": task, "metric": metric, "variant": variant, "iter": iteration}
            message = f"{metric} {variant} {iteration}"
            events.append({**place, "type": "plot", "plot_str": "{}", "timestamp": 1})
            events.append({**place, "type": "log", "msg": message, "timestamp": iteration})
    shared.events(*events)
    return task


CHOSEN: list[tuple[list[dict[str, Any]], set[tuple[str, str]]]] = [
    ([{"metric": "f2"}], {("f2", "valid")}),
    ([{"metric": "loss", "variants": ["valid"]}], {("loss", "valid")}),
    ([{"metric": "loss", "variants": []}], {("loss", "train"), ("loss", "valid")}),
    ([{"metric": "loss", "variants": ["train"]}, {"metric": "f2"}], {("loss", "train"), ("f2", "valid")}),
    ([{"metric": "nothing"}], set()),
]


@pytest.mark.parametrize(("metrics", "expected"), CHOSEN)
def test_plots_and_logs_heed_metrics_and_iterations(
    shared: Embedded, reports: str, metrics: list[dict[str, Any]], expected: set[tuple[str, str]]
) -> None:
    def found(events: list[dict[str, Any]]) -> set[tuple[str, str, int]]:
        return {(event["metric"], event["variant"], event["iter"]) for event in events}

    latest = {(*names, iteration) for names in expected for iteration in (1, 2)}
    asked = {"metrics": metrics, "iters": 2}
    assert found(shared.call("events.get_task_plots", task=reports, **asked).data["plots"]) == latest
    tree = shared.call("events.get_multi_task_plots", tasks=[reports], **asked).data["plots"]
    assert {
        (metric, variant, int(iteration))
        for metric, variants in tree.items()
        for variant, tasks in variants.items()
        for iteration in tasks[reports]
    } == latest
    everything = {(*names, iteration) for names in expected for iteration in range(3)}
    log = shared.call("events.get_task_log", task=reports, metrics=metrics).data
    assert {tuple(event["msg"].split()) for event in log["events"]} == {
        (metric, variant, str(iteration)) for metric, variant, iteration in everything
    }
    assert log["total"] == len(everything)
    log = shared.call("events.get_task_log", task=reports, **asked).data
    assert log["total"] == len(latest)


REFUSED: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
    ("tasks.create", {"name": "ab", "type": "training"}, (400, 800)),
    ("tasks.edit", {"task": "{task}", "name": "ab"}, (400, 800)),
    ("tasks.update", {"task": "{task}", "name": ""}, (400, 800)),
    ("tasks.clone", {"task": "{task}", "new_task_name": "ab"}, (400, 800)),
    ("models.create", {"name": "ab", "uri": "file:///m"}, (400, 800)),
    ("models.edit", {"model": "{model}", "name": "ab"}, (400, 800)),
    ("projects.create", {"name": "ab"}, (400, 12)),
    ("projects.update", {"project": "{project}", "name": "ab"}, (400, 12)),
    ("tasks.create", {"name": "task", "type": "guessing"}, (400, 12)),
    ("tasks.create", {"name": "task", "type": "training", "project": "unknown"}, (400, 16)),
    ("tasks.create", {"name": "task", "type": "training", "parent": "unknown"}, (400, 16)),
    ("tasks.edit", {"task": "{task}", "parent": "unknown"}, (400, 16)),
    ("models.create", {"name": "model", "uri": "file:///m", "project": "unknown"}, (400, 16)),
    ("models.create", {"name": "model"}, (400, 12)),
    ("tasks.clone", {"task": "{task}", "new_project_name": "ab"}, (400, 12)),
    ("tasks.clone", {"task": "{task}", "new_project_name": "above//below"}, (400, 12)),
    ("projects.get_task_parents", {"tasks_state": "asleep"}, (400, 12)),
    ("events.get_task_log", {"task": "{task}", "order": "sideways"}, (400, 12)),
    ("events.get_task_events", {"task": "{task}", "order": "sideways"}, (400, 12)),
    ("events.get_task_metrics", {"tasks": [], "event_type": "guess"}, (400, 12)),
    ("tasks.edit_hyper_params", {"task": "{task}", "replace_hyperparams": "some"}, (400, 12)),
    ("tasks.get_all", {"_any_": {"regex": "x", "fields": ["name"]}}, (400, 12)),
    ("tasks.get_all", {"filters": {"nothing": ["a"]}}, (400, 12)),
    ("tasks.get_all", {"filters": {"tags": {"some": {}}}}, (400, 12)),
    ("tasks.get_all", {"filters": {"tags": {"op": "xor"}}}, (400, 12)),
    ("events.get_task_plots", {"task": "{task}", "metrics": [{"variants": []}]}, (400, 11)),
    ("events.scalar_metrics_iter_histogram", {"task": "{task}", "metrics": [{"metric": []}]}, (400, 12)),
]


@pytest.mark.parametrize(("call", "request_", "error"), REFUSED)
def test_refusals(
    shared: Embedded, subjects: dict[str, str], call: str, request_: dict[str, Any], error: tuple[int, int]
) -> None:
    filled = {
        name: value.format(**subjects) if isinstance(value, str) else value
        for name, value in request_.items()
    }
    assert shared.call(call, **filled).error == error


@pytest.fixture(scope="module")
def subjects(shared: Embedded) -> dict[str, str]:
    return {
        "task": shared.new_task(),
        "model": shared.call("models.create", name="model", uri="file:///m").data["id"],
        "project": shared.call("projects.create", name="subject").data["id"],
    }


def test_a_model_of_another_server_can_be_attached(shared: Embedded) -> None:
    task, unknown = shared.new_task(), "0" * 32
    shared.call(
        "tasks.add_or_update_model", task=task, type="input", name="start", model=unknown, iteration=7
    )
    stored = shared.task(task)
    assert [item["model"] for item in stored["models"]["input"]] == [unknown]
    assert stored["last_iteration"] == 7


def test_metadata_of_a_model_by_key(shared: Embedded) -> None:
    metadata = {"f2": {"key": "f2", "type": "float", "value": "0.9"}}
    created = shared.call("models.create", name="described", uri="file:///m", metadata=metadata)
    assert shared.call("models.get_by_id", model=created.data["id"]).data["model"]["metadata"] == metadata


def test_a_curve_in_three_bins(shared: Embedded) -> None:
    task = shared.new_task()
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "m", "variant": "v", "timestamp": 1}
    shared.events(*({**scalar, "iter": n, "value": float(n)} for n in range(5)))
    curve = shared.call("events.scalar_metrics_iter_histogram", task=task, samples=3).data["m"]["v"]
    assert (curve["x"], curve["y"]) == ([0, 2, 4], [0.5, 2.5, 4.0])


def test_the_latest_values_say_whose_they_are(shared: Embedded) -> None:
    task = shared.new_task(name="latest")
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "m", "variant": "v"}
    shared.events(*({**scalar, "iter": n, "value": float(n), "timestamp": 100 + n} for n in range(5)))
    data = shared.call("events.get_task_latest_scalar_values", task=task).data
    variants = [{"name": "v", "last_value": 4.0, "last_timestamp": 104}]
    assert data == {
        "name": "latest",
        "status": "created",
        "last_iter": 4,
        "last_timestamp": 104,
        "metrics": [{"name": "m", "variants": variants}],
    }


def test_the_statistics_of_a_project(shared: Embedded) -> None:
    root = shared.call("projects.create", name="counted").data["id"]
    below = shared.call("projects.create", name="counted/.pipelines/run", system_tags=["pipeline"]).data["id"]
    tasks = [shared.new_task(project=project) for project in (root, below, below)]
    shared.call("tasks.started", task=tasks[1])
    shared.call("tasks.completed", task=tasks[1])
    shared.new_task(project=root, type="report")
    shared.call("tasks.archive", tasks=[shared.new_task(project=below)])
    asked = {"id": [root], "include_stats": True, "check_own_contents": True}
    (project,) = shared.call("projects.get_all_ex", **asked).data["projects"]
    active = project["stats"]["active"]
    assert active.pop("last_task_run") == shared.task(tasks[1])["started"]
    assert active == {
        "status_count": {"created": 3, "completed": 1},
        "total_tasks": 4,
        "total_runtime": 0,
        "completed_tasks_24h": 1,
    }
    assert (project["basename"], project["own_tasks"], project["own_models"]) == ("counted", 1, 0)
    names = ["counted/.pipelines", "counted/.pipelines/run"]
    assert [item["name"] for item in project["sub_projects"]] == names
    assert shared.call("projects.validate_delete", project=root).data == {
        "pipelines": 1,
        "datasets": 0,
        "tasks": 4,
        "non_archived_tasks": 3,
        "models": 0,
        "non_archived_models": 0,
        "reports": 1,
        "non_archived_reports": 1,
    }


def test_tags_of_a_service_can_be_filtered(shared: Embedded) -> None:
    project = shared.call("projects.create", name="tagged tasks").data["id"]
    for tags, system in ((["x", "y"], ["s"]), (["z"], [])):
        shared.new_task(project=project, tags=tags, system_tags=system)
    for wanted, expected in (({"tags": ["x"]}, ["x", "y"]), ({"system_tags": [None]}, ["z"])):
        asked = {"projects": [project], "filter": wanted}
        assert shared.call("projects.get_task_tags", **asked).data == {"tags": expected}
    shared.call("projects.update", project=project, tags=["own"])
    assert shared.call("projects.get_project_tags", projects=[project]).data == {"tags": ["own"]}
