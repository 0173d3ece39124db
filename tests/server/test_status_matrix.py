"""The answers of ClearML's own server to each call on a task of each status: ours are the same."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.embedded import Embedded

from server.credentials import Credentials
from server.database import Database
from server.dispatch import Api
from server.services import discover

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data/task_status_matrix.json").read_text())

PARAMETER = {"section": "Args", "name": "lr", "value": "0.1"}
PROPERTY = {**PARAMETER, "section": "properties"}
ITEM = {"name": "General", "value": "{}"}
ARTIFACT = {"key": "data", "type": "custom", "uri": "http://files/data"}
MODEL = {"type": "output", "name": "weights"}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "tasks.edit_hyper_params": {"hyperparams": [PARAMETER]},
    "tasks.edit_hyper_params(properties)": {"hyperparams": [PROPERTY]},
    "tasks.delete_hyper_params": {"hyperparams": [PARAMETER]},
    "tasks.edit_configuration": {"configuration": [ITEM]},
    "tasks.delete_configuration": {"configuration": ["General"]},
    "tasks.add_or_update_artifacts": {"artifacts": [ARTIFACT]},
    "tasks.delete_artifacts": {"artifacts": [{"key": "data"}]},
    "tasks.add_or_update_model": {**MODEL, "model": "0" * 32},
    "tasks.delete_models": {"models": [MODEL]},
    "tasks.set_requirements": {"requirements": {"pip": "clearml"}},
    "tasks.edit": {"comment": "edited"},
    "tasks.edit(script)": {"script": {"entry_point": "main.py"}},
    "tasks.update": {"comment": "updated"},
    "tasks.update(tags)": {"tags": ["good"]},
    "tasks.move": {"project_name": "moved"},
}
LISTED = {"tasks.archive": "tasks", "tasks.unarchive": "tasks", "tasks.move": "ids"}

PATHS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "created": [],
    "queued": [("tasks.enqueue", {})],
    "in_progress": [("tasks.started", {})],
    "stopped": [("tasks.started", {}), ("tasks.stopped", {})],
    "failed": [("tasks.started", {}), ("tasks.failed", {})],
    "completed": [("tasks.started", {}), ("tasks.completed", {})],
    "published": [("tasks.started", {}), ("tasks.completed", {"publish": True})],
}
"""For each status, the calls that bring a draft there."""


@pytest.fixture(scope="module")
def within(shared: Embedded) -> Iterator[Callable[..., dict[str, Any]]]:
    """Call the API on the server's database without HTTP, to prepare tasks."""
    with closing(Database(shared.data / "server.db")) as database:
        api = Api(database, Credentials.of(shared.data), discover())
        yield api.invoke
        api.close()


@pytest.mark.parametrize("call", sorted({row["call"] for row in ROWS}))
def test_a_call_on_a_task_of_each_status(
    shared: Embedded, within: Callable[..., dict[str, Any]], call: str
) -> None:
    expected, answered = [], []
    for row in (row for row in ROWS if row["call"] == call):
        task = within("tasks.create", name="matrix", type="training")["id"]
        for step, arguments in PATHS[row["status"]]:
            within(step, task=task, **arguments)
        code, subcode = answer(shared, row, task)
        tasks = within("tasks.get_all", id=[task], only_fields=["status"])["tasks"]
        after = tasks[0]["status"] if tasks else None
        expected.append(row)
        answered.append({**row, "code": code, "subcode": subcode, "status_after": after})
    assert answered == expected


def answer(server: Embedded, row: dict[str, Any], task: str) -> tuple[int, int]:
    name = row["call"].partition("(")[0]
    whose = {LISTED[name]: [task]} if name in LISTED else {"task": task}
    force = {"force": True} if row["force"] else {}
    return server.call(name, **whose, **ARGUMENTS.get(row["call"], {}), **force).error
