"""User input is text: hostile names, parameters, log lines and plots."""

import json
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect
from support import seed
from support.embedded import Embedded
from support.seed import EVIL

PROJECT = "Evil <b onclick=window.evil=1>"
LINK = '<a href="javascript:window.evil=1">'
TABLE = {"type": "table", "header": {"values": [EVIL]}, "cells": {"values": [[EVIL]]}}
EVIL_PLOT = {
    "data": [
        {"x": [1, 2], "y": [1, 2], "name": EVIL, "text": [EVIL, f"{LINK}x</a>"], "mode": "text"},
        TABLE,
    ],
    "layout": {
        "title": {"text": f"{LINK}{EVIL}</a>"},
        "annotations": [{"text": EVIL, "x": 1, "y": 1}],
        "images": [{"source": "javascript:window.evil=1", "x": 0, "y": 1, "sizex": 1, "sizey": 1}],
    },
}
TABS = (
    "", "/output/log", "/output/log?q=%3Cscript%3E", "/info-output/metrics/scalar",
    "/info-output/metrics/plots", "/info-output/debugImages", "/configuration", "/artifacts",
)  # fmt: skip
LINKS = "[...document.querySelectorAll('a')].map(a => a.href.baseVal ?? a.href)"
SCRIPTS = "[...document.querySelectorAll('script')].every(script => script.src && !script.textContent)"


@dataclass
class Evil:
    """Ids of hostile objects."""

    run: str
    step: str
    project: str
    model: str

    @property
    def paths(self) -> list[str]:
        task = f"/projects/{self.project}/experiments/{self.step}"
        run = f"/pipelines/{self.project}/experiments/{self.run}"
        return [
            "/", "/tasks", "/models", "/queues", "/workers", run, f"{run}/configuration",
            f"/new-run/{self.run}", *(f"{task}{tab}" for tab in TABS),
            f"/projects/*/models/{self.model}", f"/projects/{self.project}",
            f"/compare?ids={self.run}&ids={self.step}", "/?q=%22%3E%3Cscript%3Ewindow.evil%3D1%3C/script%3E",
        ]  # fmt: skip


@pytest.fixture(scope="module")
def evil(server: Embedded) -> Evil:
    """A run, a step, a model, a queue and a worker with a hostile name wherever a name fits."""
    project = server.call("projects.create", name=PROJECT).data["id"]
    run = server.new_task(
        name=f"evil {EVIL}", type="controller", project=project, tags=[EVIL],
        comment=f"Auto-generated at 2026-01-01 00:00:00 UTC by {EVIL}",
        hyperparams=seed.parameters("Args", **{EVIL: EVIL}) | seed.parameters(EVIL, **{EVIL: EVIL}),
        script={"diff": EVIL, "repository": EVIL, "entry_point": EVIL, "requirements": {"pip": EVIL}},
        container={"image": EVIL}, runtime={"note": EVIL},
    )  # fmt: skip
    returned = seed.parameters("return", name=EVIL, valid_f2="0.5")
    step = server.new_task(name=f"step {EVIL}", project=project, parent=run, hyperparams=returned)
    nodes = {f"evaluate_{EVIL}": {"executed": step, "parents": [EVIL], "queue": EVIL, "status": EVIL}}
    configuration = {EVIL: {"value": EVIL, "description": EVIL}, "Pipeline": {"value": json.dumps(nodes)}}
    server.call("tasks.started", task=run, status_reason=EVIL, status_message=EVIL)
    server.call("tasks.edit", task=run, force=True, configuration=configuration)
    report(server, step)
    server.call("tasks.failed", task=step, force=True, status_reason=EVIL, status_message=EVIL)
    model = server.call(
        "models.create", name=EVIL, uri="javascript:window.evil=1", project=project, task=step, tags=[EVIL],
        labels={EVIL: 1}, comment=EVIL, design={"design": EVIL},
    ).data["id"]  # fmt: skip
    queue = server.call("queues.create", name=EVIL).data["id"]
    server.call("tasks.enqueue", task=server.new_task(name=EVIL), queue=queue)
    seed.worker(server, EVIL, queue, step)
    return Evil(run, step, project, model)


def report(server: Embedded, task: str) -> None:
    artifacts = [
        {"key": EVIL, "type": EVIL, "uri": "javascript:window.evil=1", "type_data": {"preview": EVIL}},
        {"key": "data", "type": "html", "uri": "data:text/html,<script>window.evil=1</script>"},
    ]
    server.call("tasks.add_or_update_artifacts", task=task, artifacts=artifacts)
    image = {"type": "training_debug_image", "task": task, "metric": EVIL, "variant": EVIL, "iter": 0}
    server.events(
        *seed.log(task, EVIL, f"\x1b]0;{EVIL}\x07\x1b[31m{EVIL}"),
        *seed.scalar(task, EVIL, EVIL, 1.0, 2.0),
        seed.plot(task, EVIL, "figure", **EVIL_PLOT),
        seed.plot(task, EVIL, "table", data=[TABLE], layout={}),
        seed.plot(task, "broken", "", data="no list", layout=7),
        {**seed.plot(task, "no", "json"), "plot_str": "{" + EVIL},
        {**image, "url": "javascript:window.evil=1", "timestamp": 1},
    )


def test_no_hostile_script_runs(page: Page, complaints: list[str], evil: Evil) -> None:
    for path in evil.paths:
        page.goto(path)
        if "metrics" in path:
            expect(page.locator(".plot .main-svg").first).to_be_attached()
            page.wait_for_timeout(300)
        assert page.evaluate("window.evil") is None, path
        assert page.evaluate(SCRIPTS), path
        assert page.locator("main script, main img[onerror]").count() == 0, path
        links = page.evaluate(LINKS)
        assert [href for href in links if href and href.startswith(("javascript:", "data:"))] == [], path
    # The policy blocks what plotly.js would load, and the browser reports it.
    assert [error for error in complaints if "Content Security Policy" not in error] == []
    complaints.clear()


def test_hostile_text_is_shown_verbatim(page: Page, evil: Evil) -> None:
    page.goto(f"/projects/*/experiments/{evil.step}/output/log")
    expect(page.get_by_role("log")).to_contain_text("<script>window.evil=1<")
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")


def test_the_policy_allows_only_our_script(server: Embedded, page: Page) -> None:
    answer = page.goto("/")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_an_uploaded_page_runs_no_script(server: Embedded, browser: Browser) -> None:
    uri = seed.upload(server, "shop/evil.html", b"<h1>hello</h1><script>window.evil=1</script>")
    context = browser.new_context(extra_http_headers=server.bearer)
    page = context.new_page()
    page.goto(uri)
    expect(page.get_by_role("heading")).to_have_text("hello")
    assert page.evaluate("window.evil") is None
    context.close()
