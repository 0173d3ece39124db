"""Filters, orders, pages and fields of ``get_all``, and requests that no client would send."""

import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.embedded import Embedded

from server.documents import project_fields
from server.errors import BadRequest
from server.list_filters import list_condition
from server.query import literal, translate
from server.requests import Arguments, parse_object
from server.stores.tasks import TASKS


@pytest.fixture(scope="module")
def zoo(shared: Embedded) -> dict[str, str]:
    """Three tasks: name -> id."""
    project = shared.call("projects.create", name="zoo").data["id"]
    tasks = {
        name: shared.new_task(name=name, project=project, tags=tags, type=kind)
        for name, tags, kind in (
            ("ant", ["a"], "training"),
            ("bee", ["a", "b"], "testing"),
            ("cat (x)", ["b", "c"], "training"),
        )
    }
    for place, task in enumerate(tasks.values()):
        shared.call("tasks.edit", task=task, runtime={"pipeline_job_hash": f"hash{place}", "place": place})
    return tasks


QUERIES: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "^ant$"}, ["ant"]),
    ({"name": "an"}, ["ant"]),
    ({"name": r"^cat\ \(x\)$"}, ["cat (x)"]),
    ({"name": "^(ant|bee)$"}, ["ant", "bee"]),
    ({"type": ["testing"]}, ["bee"]),
    ({"type": "testing"}, ["bee"]),
    ({"tags": ["a"]}, ["ant", "bee"]),
    ({"tags": ["a", "c"]}, ["ant", "bee", "cat (x)"]),
    ({"tags": ["__$all", "a", "b"]}, ["bee"]),
    ({"tags": ["__$and", "a", "__$not", "b"]}, ["ant"]),
    ({"tags": ["a", "-b"]}, ["ant"]),
    ({"tags": ["-b"]}, ["ant"]),
    ({"tags": ["__$all", "b", "__$or", "a", "c"]}, ["bee", "cat (x)"]),
    ({"status": ["created"]}, ["ant", "bee", "cat (x)"]),
    ({"status": ["completed", "published"]}, []),
    ({"_all_": {"pattern": "^hash1$", "fields": ["runtime.pipeline_job_hash"]}}, ["bee"]),
    ({"_any_": {"pattern": "bee|testing", "fields": ["name", "type"]}}, ["bee"]),
    ({"_any_": {"pattern": "BE+|Testing", "fields": ["name", "type"]}}, ["bee"]),
    ({"_all_": {"pattern": "^BEE$", "fields": ["name"]}}, ["bee"]),
    ({"name": "^BEE$"}, []),
    ({"name": "BE+"}, []),
    ({"_all_": {"pattern": "t", "fields": ["name", "type"]}}, ["ant", "cat (x)"]),
    ({"order_by": ["-name"]}, ["cat (x)", "bee", "ant"]),
    ({"order_by": ["-runtime.place"]}, ["cat (x)", "bee", "ant"]),
    ({"order_by": ["type", "-name"]}, ["bee", "cat (x)", "ant"]),
    ({"order_by": ["name"], "page": 1, "page_size": 2}, ["cat (x)"]),
    ({"created": [">=2020-01-01T00:00:00"]}, ["ant", "bee", "cat (x)"]),
    ({"created": [">=2020-01-01", "<2021-01-01"]}, []),
    ({"status_changed": [">2020-01-01T00:00:00Z"]}, []),
    ({"script.repository": [""]}, ["ant", "bee", "cat (x)"]),
    ({"search_text": "CAT (x"}, ["cat (x)"]),
    ({"_or_": {"datetime": [">2020-01-01"], "fields": ["started", "created"]}}, ["ant", "bee", "cat (x)"]),
    ({"_and_": {"datetime": [">2020-01-01"], "fields": ["started", "created"]}}, []),
    (
        {"_and_": {"datetime": ">2020-01-01", "fields": ["created"], "pattern": "^2"}},
        ["ant", "bee", "cat (x)"],
    ),
    ({"_any_": {"datetime": [">2020-01-01", "<2021-01-01"], "fields": ["created"]}}, []),
    ({"runtime.place": [1, None]}, ["bee", "cat (x)"]),
    ({"runtime.place": [None, 0.5]}, ["ant"]),
    ({"runtime.place": [1, 1]}, ["bee"]),
]


@pytest.mark.parametrize(("query", "names"), QUERIES)
def test_get_all_finds(
    shared: Embedded, zoo: dict[str, str], query: dict[str, Any], names: list[str]
) -> None:
    found = shared.call("tasks.get_all", id=list(zoo.values()), **query).data["tasks"]
    assert [task["name"] for task in found] == names


def test_only_the_requested_fields_are_returned(shared: Embedded, zoo: dict[str, str]) -> None:
    fields = ["name", "runtime.place", "script.requirements", "nothing.here"]
    found = shared.call("tasks.get_all", id=[zoo["bee"]], only_fields=fields).data["tasks"]
    assert found == [{"name": "bee", "runtime": {"place": 1}, "script": {"requirements": {}}}]


def test_scrolling_returns_every_task_once(shared: Embedded, zoo: dict[str, str]) -> None:
    seen: list[str] = []
    scroll = None
    while True:
        page = shared.call("tasks.get_all", id=list(zoo.values()), size=2, scroll_id=scroll).data
        if not page["tasks"]:
            break
        seen += [task["name"] for task in page["tasks"]]
        scroll = page["scroll_id"]
    assert sorted(seen) == sorted(zoo)


def test_the_cache_lookup_uses_its_index(shared: Embedded) -> None:
    lookup = {"fields": ["runtime.pipeline_job_hash"], "pattern": "^x$"}
    query = translate(TASKS, Arguments({"_all_": lookup}))
    with closing(sqlite3.connect(shared.data / "server.db")) as db:
        explain = f"EXPLAIN QUERY PLAN SELECT doc FROM tasks WHERE {query.where}"
        plan = db.execute(explain, query.parameters).fetchall()
    assert "tasks_pipeline_job_hash" in plan[0][3]


@given(st.text(max_size=40))
def test_an_escaped_name_is_recognised_as_a_literal(name: str) -> None:
    assert literal(f"^{re.escape(name)}$") == name


@given(st.text(alphabet="ab.*\\^$|()[]+?{}", max_size=12))
def test_literal_patterns_match_only_themselves(pattern: str) -> None:
    exact = literal(pattern)
    if exact is not None:
        assert re.compile(pattern).search(exact)
        assert not re.compile(pattern).search(exact + "x")


TAGS = st.lists(st.sampled_from(["a", "b", "c", "-a", "-b", "__$all", "__$and", "__$or", "__$any", "__$not"]))


@given(TAGS, st.sets(st.sampled_from("abc")))
def test_any_tag_expression_is_sql(tags: list[str], having: set[str]) -> None:
    import sqlite3

    condition, values = list_condition(TASKS.field("tags"), tags)
    db = sqlite3.connect(":memory:")
    try:
        sql = f"SELECT {condition} FROM (SELECT ? AS doc)"
        ((holds,),) = db.execute(sql, (*values, json.dumps({"tags": sorted(having)}))).fetchall()
    finally:
        db.close()
    assert holds in (0, 1)
    if tags and all(len(tag) == 1 for tag in tags):
        assert bool(holds) == bool(set(tags) & having)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_object_or_an_error(body: bytes) -> None:
    try:
        value: object = parse_object(body)
    except BadRequest:
        return
    assert isinstance(value, dict)


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from("abc"), DOCUMENTS, max_size=3),
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), max_size=4),
)
def test_projection_invents_nothing_and_changes_nothing(document: dict[str, Any], fields: list[str]) -> None:
    before = json.dumps(document)
    chosen = project_fields(document, fields)
    assert json.dumps(document) == before
    assert chosen.keys() <= document.keys()
    for field in fields:
        if "." not in field and field in document:
            assert chosen[field] == document[field]


TOO_MANY: list[dict[str, Any]] = [
    {"_any_": {"pattern": "x", "fields": ["name"] * 3000}},
    {"tags": ["x"] * 40_000},
    {f"runtime.field{number}": ["x"] for number in range(3000)},
]


@pytest.mark.parametrize("filters", TOO_MANY)
def test_more_conditions_than_the_database_takes(shared: Embedded, filters: dict[str, Any]) -> None:
    for endpoint in ("tasks.get_all", "models.get_all", "queues.get_all"):
        assert shared.call(endpoint, **filters).error == (400, 12)
