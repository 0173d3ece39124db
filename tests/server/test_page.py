"""The page: runs and tasks as a browser gets them, whatever tasks are called."""

import json
import re
from html.parser import HTMLParser

import pytest
from support.embedded import Answer, Embedded, fetch

EVIL = "<script>alert('x')</script>\"'"
DEEP_LINKS = [
    "/projects/{project}/experiments/{task}/output/log",
    "/projects/{project}/tasks/{task}/output/log",
    "/projects/*/experiments/{task}",
    "/pipelines/{project}/experiments/{task}",
]


class Text(HTMLParser):
    """The visible text, the links, and the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.scripts: list[str | None] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href" and value]
        self.scripts += [dict(attrs).get("src")] if tag == "script" else []
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page(server: Embedded, path: str) -> tuple[Answer, Text]:
    answer = fetch(server.api + path, headers=server.session)
    return answer, Text(answer.body.decode())


@pytest.fixture(scope="module")
def run(shared: Embedded) -> dict[str, str]:
    """A pipeline run of two steps with everything a task can show, named by somebody with bad intent."""
    project = shared.call("projects.create", name=f"Shop {EVIL}").data["id"]
    task = shared.new_task(name=f"run {EVIL}", type="controller", project=project, tags=[EVIL], comment=EVIL)
    nodes = {
        "first": {"status": "cached", "executed": task},
        f"second {EVIL}": {"status": EVIL, "executed": None},
        "odd": "no object",
    }
    shared.call(
        "tasks.edit",
        task=task,
        configuration={"Pipeline": {"value": json.dumps(nodes)}},
        hyperparams={"Args": {"lr": {"value": "0.125"}, EVIL: {"value": EVIL}}},
    )
    shared.call("tasks.started", task=task, status_message=EVIL)
    artifacts = [
        {"key": "good", "type": "dict", "uri": "http://127.0.0.1:1/a", "content_size": 123456},
        {"key": "bad", "type": EVIL, "uri": "javascript:alert(1)"},
    ]
    shared.call("tasks.add_or_update_artifacts", task=task, artifacts=artifacts)
    scalar = {"type": "training_stats_scalar", "task": task, "metric": "loss", "variant": EVIL, "iter": 0}
    log = {"type": "log", "task": task, "msg": f"a line\n{EVIL}", "timestamp": 1}
    shared.events({**scalar, "value": 0.25, "timestamp": 1}, log)
    return {"project": project, "task": task}


def test_the_runs(shared: Embedded, run: dict[str, str]) -> None:
    answer, seen = page(shared, "/")
    assert answer.status == 200
    assert f"run {EVIL}" in seen.text
    assert "running" in seen.text
    assert f"/pipelines/{run['project']}/experiments/{run['task']}" in seen.links


SHOWN = {
    DEEP_LINKS[0]: ("a line",),
    DEEP_LINKS[1]: ("a line",),
    DEEP_LINKS[2]: ("0.125", "0.25", "a line"),
    DEEP_LINKS[3]: ("0.125", "first", "good", "123 kB"),
}


@pytest.mark.parametrize("path", DEEP_LINKS)
def test_a_run_by_the_links_that_the_sdk_prints(shared: Embedded, run: dict[str, str], path: str) -> None:
    answer, seen = page(shared, path.format(**run))
    assert answer.status == 200
    for shown in (*SHOWN[path], run["task"]):
        assert shown in seen.text, shown


def test_artifacts_that_a_browser_may_open_are_links(shared: Embedded, run: dict[str, str]) -> None:
    _, seen = page(shared, "/projects/*/experiments/{task}/artifacts".format(**run))
    assert "http://127.0.0.1:1/a" in seen.links
    assert "bad" in seen.text


def test_what_users_write_is_text(shared: Embedded, run: dict[str, str]) -> None:
    for path in ("/", "/tasks", *(link.format(**run) for link in DEEP_LINKS)):
        answer, seen = page(shared, path)
        assert set(seen.scripts) <= {"/static/page.js", "/static/charts.js", "/plotly.js"}
        assert seen.inline == []
        assert not [link for link in seen.links if link.startswith("javascript:")]
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_a_page_of_any_task_opens(shared: Embedded) -> None:
    """Also of a draft, and of one whose fields hold what they should not."""
    draft = shared.new_task()
    odd = shared.new_task(
        hyperparams={"s": {"n": {"value": {"deep": [1]}}}}, configuration={"Pipeline": {"value": "{"}}
    )
    for task in (draft, odd):
        assert page(shared, f"/projects/*/experiments/{task}")[0].status == 200


@pytest.mark.parametrize("depth", [100, 400, 600, 900, 5000])
def test_a_plot_of_any_depth_is_no_error(shared: Embedded, depth: int) -> None:
    task = shared.new_task()
    figure = '{"layout": ' + '{"a": ' * depth + "1" + "}" * (depth + 1)
    plot = {"type": "plot", "task": task, "metric": "m", "variant": "v", "iter": 0, "timestamp": 1}
    shared.events({**plot, "plot_str": figure})
    listed, _ = page(shared, f"/projects/*/experiments/{task}/info-output/metrics/plots")
    assert listed.status == 200
    number = re.search(rf"/figures/plot/{task}/(\d+)", listed.body.decode())
    assert number
    assert page(shared, number[0])[0].status in (200, 404)
    assert "Traceback" not in shared.log.read_text()


def test_what_is_not_there(shared: Embedded) -> None:
    assert page(shared, "/projects/*/experiments/unknown")[0].status == 404
    assert page(shared, "/static/../pages.py")[0].status in (400, 403, 404)


def test_the_style_has_both_colours(shared: Embedded) -> None:
    answer = fetch(shared.api + "/static/style.css")
    assert answer.headers["Content-Type"].startswith("text/css")
    assert b"light-dark(" in answer.body
