"""Evaluations are ranked per split, newest dataset first, and rendered as experiments.md."""

import pytest
from support import sdk_process
from support.embedded import sdk_runner

EVALUATIONS = """
import json
import sqlite3
from contextlib import closing
from pipeline.connection import Api
from pipeline.clearml_tasks import TaskUnavailable
from pipeline.leaderboard.experiments import render
from pipeline.leaderboard.leaderboard import leaderboards, select
api = Api()
PROJECT = "forest (v2)"
project = api.call("projects.create", name=PROJECT)["id"]
hidden = api.call("projects.create", name=PROJECT + "/.pipelines/chips", system_tags=["hidden"])["id"]
other = api.call("projects.create", name="forest v2")["id"]

def task(name, project, parent=None, done=True, **sections):
    hyperparams = {
        section: {key: {"section": section, "name": key, "value": str(value)} for key, value in items.items()}
        for section, items in sections.items()
    }
    fields = {"name": name, "type": "testing", "project": project, "parent": parent}
    task_id = api.call("tasks.create", hyperparams=hyperparams, **fields)["id"]
    api.call("tasks.started", task=task_id)
    if done:
        api.call("tasks.completed", task=task_id)
    return task_id

def evaluation(model, valid, test, split, project, run="", done=True, **arguments):
    kwargs = {"kwargs": arguments} if run else {}
    returned = {"name": model, "valid_f2": valid, "test_f2": test, "constant_f2": 0.3}
    noted = {"dataset": dataset, "split": split, "epochs": 2, "architecture": "resnet|x"}
    sections = {"properties": noted, "return": returned, **kwargs}
    return task(f"evaluate_{model}", project, run or None, done, **sections)

dataset = api.call("tasks.create", name="chips", type="data_processing", project=project)["id"]
run = task("a run", hidden)
train = task("train_a", hidden, run, kwargs={
    "entry": json.dumps({"name": "a", "architecture": "vit"}),
    "training": json.dumps({"epochs": 5, "image_size": 64, "learning_rate": 0.001}),
})
a = evaluation("a", 0.8, 0.7, "one", hidden, run, train_id=train)
ensemble = evaluation("ensemble", 0.8, 0.75, "one", hidden, run, candidates="a=1 b=2")
again = evaluation("a", 0.6, 0.6, "one", project)
lost = task("a lost run", hidden)
gone = evaluation("b", 0.7, 0.6, "one", hidden, lost, train_id="0" * 32)
# Its evaluation still names it, as another server may leave it; the embedded one would clear the field.
with closing(sqlite3.connect(DATABASE)) as db, db:
    db.execute("DELETE FROM tasks WHERE id = ?", (lost,))
evaluation("c", 0.99, 0.9, "one", other)
evaluation("d", 0.99, 0.9, "one", project, done=False)
evaluation("", 0.0, 0.0, "one", hidden, run, candidates="a=1")
newest = evaluation("e", 0.1, 0.1, "two", project)
events = [
    {"type": "training_stats_scalar", "task": a, "metric": "Summary", "variant": name, "iter": -(2**31)}
    | {"value": value}
    for name, value in {"valid_f2_low": 0.75, "valid_f2_high": 0.85}.items()
]
text = chr(10).join(map(json.dumps, events))
headers = {"Content-Type": "application/json-lines"}
assert api._session.send_request("events", "add_batch", data=text, headers=headers).ok

names = {a: "a", ensemble: "ensemble", again: "again", gone: "gone", newest: "newest"}
boards = leaderboards(api, PROJECT)
"""


RANKS = """
ranks = [[board.split, [names[id] for id in board.rows["task_id"]]] for board in boards]
"""

SELECTIONS = """
def selected(**choice):
    try:
        selection = select(api, PROJECT, boards, **choice)
    except TaskUnavailable as error:
        return str(error)
    return [names[selection.best["task_id"]], [names[id] for id in selection.rivals["task_id"]]]

selections = {
    "newest": selected(),
    "split": selected(split="on"),
    "model": selected(split="one", model="a"),
    "task": selected(task=f"http://page/projects/x/experiments/{again}/output/log"),
    "no split": selected(split="x"),
    "no model": selected(split="one", model="x"),
    "no task": selected(task="x"),
}
known, boards = boards, leaderboards(api, "another")
selections["nothing"] = selected()
boards = known
"""


EXPERIMENTS = """
text = render(api, PROJECT, boards)
experiments = {
    "lines": [line for line in text.splitlines() if line.startswith(("##", "|"))],
    "again": render(api, PROJECT, leaderboards(api, PROJECT)) == text,
    "nothing": render(api, PROJECT, []).splitlines()[-1],
    "ids": [a, run, hidden, project, dataset],
    "web": api.web,
}
result = {"ranks": ranks, "selections": selections, "experiments": experiments}
"""


@pytest.fixture(scope="module")
def found(server, tmp_path_factory):
    run = sdk_runner(server, tmp_path_factory.mktemp("leaderboard"))
    database = f"DATABASE = {str(server.data / 'server.db')!r}\n"
    return run(database + EVALUATIONS + RANKS + SELECTIONS + EXPERIMENTS)


def test_evaluations_are_ranked_among_those_on_the_same_chips(found):
    # Of equal scores the single model comes before the ensemble.
    assert found["ranks"] == [["two", ["newest"]], ["one", ["a", "ensemble", "gone", "again"]]]


def test_a_row_and_its_rivals_are_selected(found):
    selections = found["selections"]
    assert selections["newest"] == ["newest", []]
    assert selections["split"] == ["a", ["ensemble", "gone"]]
    assert selections["model"] == ["a", ["ensemble", "gone"]]
    assert selections["task"] == ["again", ["ensemble", "gone"]]
    assert selections["no split"] == "nothing was evaluated on a split 'x'; there are: two, one"
    assert "no evaluation of 'x' on the split one; there are: a, b, ensemble" in selections["no model"]
    assert "has evaluated no model of this project" in selections["no task"]
    assert "has no completed, unarchived evaluation" in selections["nothing"]


def test_experiments_are_tables_that_stay_the_same(found):
    experiments = found["experiments"]
    evaluate, run, hidden, project, dataset = experiments["ids"]
    web, lines = experiments["web"], experiments["lines"]
    assert experiments["again"] is True
    assert experiments["nothing"] == "No model was evaluated yet: `make train`, or `make train.pipeline`."
    assert lines[1] == "| model | settings | valid F2 | test F2 | time | from |"
    assert lines[2] == "| --- | --- | --- | --- | --- | --- |"
    assert lines[0].startswith(f"## [chips]({web}/datasets/simple/{project}/experiments/{dataset}), split")
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "](" in line]
    rows = {row[0].partition("]")[0].strip("[ ") + row[2][:6]: row for row in cells if len(row) == 6}
    row = rows["a0.8000"]
    assert row[0] == f"[a]({web}/projects/{hidden}/experiments/{evaluate}/output/log)"
    assert row[1] == "vit, 64 px, 5 epochs, rate 0.001"
    assert row[2:4] == ["0.8000 [0.7500, 0.8500]", "0.7000"]
    assert row[5].startswith("[a run 20")
    assert row[5].endswith(f"]({web}/pipelines/{hidden}/experiments/{run})")
    assert rows["ensemble0.8000"][1] == "mean of a, b"
    assert rows["ensemble0.8000"][4] == ""
    assert rows["a0.6000"][1] == r"resnet\|x, 2 epochs"
    assert rows["a0.6000"][5].startswith("plain training 20")
    assert rows["b0.7000"][5].startswith("a deleted run 20")


def preferences():
    import numpy as np
    import pandas as pd

    from pipeline.leaderboard.leaderboard import Leaderboard, Selection
    from steps.clearml.artifacts import store_arrays

    def stored(lead):
        with sdk_process.running_task("evaluation") as task:
            f2 = np.linspace(0.2, 0.9, 60) + lead * (1 + np.arange(60) % 3)
            store_arrays("per_chip", {"valid_f2": f2, "test_f2": f2})
        return task.id

    def preferred(ensemble):
        rows = pd.DataFrame(
            {"model": ["ensemble", "a"], "task_id": [ensemble, single], "is_ensemble": [True, False]}
        )
        board = Leaderboard("one", "chips", "d", "", rows)
        return Selection(board, rows.to_dict("records")[0]).preferred(seed=1).best["model"]

    single = stored(0)
    return [preferred(stored(0)), preferred(stored(0.01))]


def test_an_ensemble_needs_a_significant_lead_over_the_best_single_network(server, tmp_path):
    assert sdk_process.call(server, tmp_path, preferences) == ["a", "ensemble"]
