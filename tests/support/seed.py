"""A pipeline run as its controller, its steps and their workers leave it, made by the calls they make."""

import base64
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any

from support.embedded import Embedded, fetch

EVIL = "<script>window.evil=1</script><img src=x onerror=window.evil=1>\"'"

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADAgH/p9fo3AAAAABJRU5ErkJggg=="
)
STEPS = {
    "ingest": [],
    "split": ["ingest"],
    "train_small": ["split"],
    "train_large": ["split"],
    "evaluate_small": ["split", "train_small"],
    "evaluate_large": ["split", "train_large"],
    "select": ["evaluate_small", "evaluate_large"],
}
F2 = {"small": ("0.8125", "0.8"), "large": ("0.9375", "0.925")}


@dataclass
class Run:
    """The ids of a run: its controller, its project, its steps by their names."""

    id: str
    project: str
    steps: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/pipelines/{self.project}/experiments/{self.id}"

    def step(self, name: str, tab: str = "") -> str:
        return f"/projects/{self.project}/experiments/{self.steps[name]}{tab}"


def parameters(section: str, **values: str) -> dict[str, Any]:
    return {
        section: {name: {"section": section, "name": name, "value": value} for name, value in values.items()}
    }


def log(task: str, *lines: str, start: int = 1_700_000_000_000) -> list[dict[str, Any]]:
    return [
        {"type": "log", "task": task, "msg": line, "timestamp": start + 1000 * n}
        for n, line in enumerate(lines)
    ]


AGENT = (
    "task 1 pulled from 2 by worker box:0",
    "Current configuration (clearml_agent v3.0.3, location: /tmp/x.cfg):\n"
    + "agent.setting = 1\n" * 170
    + "Executing task id [1]:\n",
    "Starting Task Execution:\n\n",
    "ClearML Monitor: GPU monitoring failed getting GPU reading, switching off GPU monitoring\n",
)
"""What an agent and the SDK report before a task prints its first line."""


def scalar(task: str, metric: str, variant: str, *values: float) -> list[dict[str, Any]]:
    kind = {"type": "training_stats_scalar", "task": task, "metric": metric, "variant": variant}
    return [
        {**kind, "iter": n, "value": value, "timestamp": 1_700_000_000_000 + n}
        for n, value in enumerate(values)
    ]


def plot(task: str, metric: str, variant: str, **figure: Any) -> dict[str, Any]:
    return {
        "type": "plot", "task": task, "metric": metric, "variant": variant, "iter": 0,
        "timestamp": 1, "plot_str": json.dumps(figure),
    }  # fmt: skip


def upload(server: Embedded, path: str, content: bytes) -> str:
    """Send a file as the SDK does; returns its address."""
    head = f'--b\r\nContent-Disposition: form-data; name="{path}"; filename="f"\r\n\r\n'.encode()
    headers = {**server.bearer, "Content-Type": "multipart/form-data; boundary=b"}
    answer = fetch(f"{server.files}/", "POST", head + content + b"\r\n--b--\r\n", headers)
    assert answer.status == 200, answer.body
    return f"{server.files}/{path}"


FORM = {
    "models": {"words": ["small", "large", "0", "1"], "list": True},
    "epochs": {"words": ["as set"], "minimum": 1, "maximum": 90},
}

RESULTS = {
    "title": "Models",
    "row": "Model",
    "name": "name",
    "model": "model_id",
    "columns": [
        {"value": "valid_f2", "title": "Validation F2", "format": ".4f", "better": "higher"},
        {"value": "test_f2", "title": "Test F2", "format": ".4f", "better": "higher"},
    ],
    "rows": {f"evaluate_{size}": {"curves": f"train_{size}"} for size in F2},
    "best": "select",
    "note": "publication.why",
}


def pipeline(server: Embedded, name: str, project: str = "shop/.pipelines/chips", **args: str) -> Run:
    """The controller, started, with a plan whose steps are still to come."""
    found = server.call("projects.get_all", name=f"^{project}$", search_hidden=True).data["projects"]
    project_id = found[0]["id"] if found else server.call("projects.create", name=project).data["id"]
    task = server.new_task(
        name=name, type="controller", project=project_id,
        comment="Auto-generated at 2026-01-01 00:00:00 UTC by ann@box",
        hyperparams=parameters("Args", models="small,large", epochs="3", **args),
        script={"binary": "python", "diff": "print(1)", "entry_point": "run.py"},
        configuration={
            name: {"name": name, "value": json.dumps(value)}
            for name, value in (("form", FORM), ("results", RESULTS))
        },
    )  # fmt: skip
    server.call("tasks.started", task=task)
    run = Run(task, project_id)
    plan(server, run)
    return run


def plan(server: Embedded, run: Run) -> None:
    """What a controller writes down about its steps whenever one of them moves on."""
    nodes = {
        name: {"parents": parents, "queue": "default", "executed": run.steps.get(name), "status": "pending"}
        for name, parents in STEPS.items()
    }
    stored = {"name": "Pipeline", "value": json.dumps(nodes)}
    server.call("tasks.edit_configuration", task=run.id, configuration=[stored], force=True)


def reasons(server: Embedded, run: Run, **why: str) -> None:
    """What a controller writes down of why its steps ran or did not."""
    stored = {"name": "why", "type": "json", "value": json.dumps(why)}
    server.call("tasks.edit_configuration", task=run.id, configuration=[stored], force=True)


def step(server: Embedded, run: Run, name: str, /, **fields: Any) -> str:
    """A step that a worker has started."""
    fields.setdefault("hyperparams", parameters("kwargs", epochs="3", code_version="1"))
    task = server.new_task(name=name, project=run.project, parent=run.id, **fields)
    server.call("tasks.started", task=task)
    server.events(*log(task, f"{name} begins", f"{name} is at work"))
    run.steps[name] = task
    plan(server, run)
    return task


def complete(server: Embedded, run: Run, name: str, /, **returned: str) -> None:
    """The end of a step: what it returns, and its state."""
    task = run.steps[name]
    items = [
        {"section": "return", "name": key, "value": value, "type": "str"} for key, value in returned.items()
    ]
    server.call("tasks.edit_hyper_params", task=task, hyperparams=items, force=True)
    server.call("tasks.completed", task=task)


def finished_run(server: Embedded, name: str, **args: str) -> Run:
    """A run of two models that went well; the larger one is best and published."""
    run = pipeline(server, name, **args)
    for step_name in ("ingest", "split"):
        step(server, run, step_name)
        complete(server, run, step_name)
    models = {size: _model(server, run, size) for size in F2}
    task = step(server, run, "select")
    server.call("models.set_ready", model=models["large"])
    server.events(*log(task, "best is large"))
    valid, test = F2["large"]
    scores = [
        {"key": "valid_f2", "value": valid, "type": "float"},
        {"key": "by", "value": "ann", "type": "str"},
    ]
    server.call("models.add_or_update_metadata", model=models["large"], metadata=scores)
    publication = {
        "published": True,
        "why": "published in place of small: +0.1250 on the same validation chips",
    }
    chosen = {"name": "large", "valid_f2": valid, "test_f2": test, "model_id": models["large"]}
    complete(server, run, "select", publication=json.dumps(publication), **chosen)
    server.call("tasks.completed", task=run.id)
    return run


def _model(server: Embedded, run: Run, size: str) -> str:
    """Train and evaluate one model, with all that a task can report."""
    task = step(server, run, f"train_{size}")
    server.events(
        *log(task, "\x1b[31mred\x1b[0m and plain", "epoch 1\repoch 2\repoch 3", start=1_700_000_100_000),
        *scalar(task, "loss", "train", 0.5, 0.25, 0.125),
        *scalar(task, "loss", "valid", 0.6, 0.3, 0.2),
    )
    uri = upload(server, f"shop/{task}/model.bin", b"weights")
    model = server.call(
        "models.create", name=size, uri=uri, task=task, project=run.project, ready=False
    ).data["id"]
    server.call("tasks.add_or_update_model", task=task, type="output", name="model", model=model)
    complete(server, run, f"train_{size}", model_id=model)
    valid, test = F2[size]
    task = step(server, run, f"evaluate_{size}")
    table = {"type": "table", "header": {"values": ["label", "f2"]}, "cells": {"values": [["clear"], [0.75]]}}
    image = {"type": "training_debug_image", "task": task, "metric": "mistakes", "variant": "test", "iter": 0}
    server.events(
        plot(task, "per label", "test", data=[table], layout={}),
        plot(task, "roc", "test", data=[{"x": [0, 1], "y": [0, 1], "name": EVIL}], layout={"title": EVIL}),
        {**image, "url": upload(server, f"shop/{task}/mistakes.png", PIXEL), "timestamp": 1},
    )  # fmt: skip
    bundle = {
        "key": "bundle",
        "type": "archive",
        "content_size": 7,
        "type_data": {"preview": "model.bin - 7 B"},
    }
    uri = upload(server, f"shop/{task}/bundle.zip", b"content")
    server.call("tasks.add_or_update_artifacts", task=task, artifacts=[{**bundle, "uri": uri}])
    complete(server, run, f"evaluate_{size}", name=size, valid_f2=valid, test_f2=test, model_id=model)
    return model


def failed_run(server: Embedded, name: str) -> Run:
    """A run whose training raised."""
    run = pipeline(server, name)
    for step_name in ("ingest", "split"):
        step(server, run, step_name)
        complete(server, run, step_name)
    task = step(server, run, "train_small")
    trace = 'Traceback (most recent call last):\n  File "train.py", line 1\nRuntimeError: out of chips'
    server.events(*log(task, trace, "Process failed, exit code 1", start=1_700_000_200_000))
    server.call("tasks.failed", task=task, status_reason="task failed", status_message="exit code 1")
    server.call("tasks.failed", task=run.id, status_reason="train_small failed")
    return run


def failed_clone(server: Embedded, run: Run, name: str) -> Run:
    """A clone of a run, which brings the run's plan along, whose controller failed before it made its own."""
    task = server.call("tasks.clone", task=run.id, new_task_name=name).data["id"]
    server.call("tasks.started", task=task)
    trace = 'Traceback (most recent call last):\n  File "run.py", line 7\nConfigError: models: no entry large'
    server.events(*log(task, trace))
    server.call("tasks.failed", task=task, status_reason="", status_message="exit code 1")
    return Run(task, run.project)


def dataset(server: Embedded, name: str = "chips") -> tuple[str, str]:
    """A dataset of three pictures; returns its project and its id."""
    project = server.call("projects.create", name=f"shop/.datasets/{name}").data["id"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(3):
            file.writestr(f"chip_{number}.png", PIXEL)
    listing = "File Name (3 files), File Size (total 210 B), Hash (SHA2)\n" + "\n".join(
        f"chip_{number}.png, 70, {number:064d}" for number in range(3)
    )
    task = server.new_task(
        name=name, type="data_processing", project=project, system_tags=["dataset"], tags=["content:abc"],
        configuration={"Dataset Content": {"name": "Dataset Content", "value": listing}},
        runtime={"version": "1.2.3", "ds_file_count": 3, "ds_total_size": 210},
    )  # fmt: skip
    server.call("tasks.started", task=task)
    uri = upload(server, f"shop/{task}/data.zip", archive.getvalue())
    data = {"key": "data", "type": "custom", "uri": uri, "content_size": 210}
    server.call("tasks.add_or_update_artifacts", task=task, artifacts=[data])
    server.call("tasks.completed", task=task)
    return project, task


def worker(server: Embedded, name: str, queue: str, task: str | None = None) -> None:
    """A sign of life of an agent."""
    server.call("workers.register", worker=name, queues=[queue], timeout=600)
    stats = {"cpu_usage": [50.0], "memory_used": 2000.0, "memory_free": 6000.0}
    server.call(
        "workers.status_report", worker=name, queues=[queue], task=task, machine_stats=stats, timestamp=1
    )


def queue(server: Embedded, name: str) -> str:
    """The id of the queue of that name, made if there is none."""
    found = server.call("queues.get_all", name=f"^{name}$").data["queues"]
    made: str = found[0]["id"] if found else server.call("queues.create", name=name).data["id"]
    return made
