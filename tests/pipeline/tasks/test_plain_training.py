"""One model in one task, a clone of it by an agent, the choice among all evaluations, and experiments.md."""

import json
import os
import re
import signal

import pytest

pytestmark = pytest.mark.slow

TRAIN = ["train", "--model", "0", "--epochs", "2"]


@pytest.fixture(scope="module")
def checkout(trained):
    return trained


@pytest.fixture(scope="module")
def printed(checkout):
    """A plain training in a checkout that had a run of both models and their ensemble; no stack is up."""
    return checkout(*TRAIN)


def task_of(printed):
    return re.findall(r"^task +\S+/(?:tasks|experiments)/(\w+)/", printed, re.MULTILINE)[-1]


TASK = """
import json, sys
from pipeline.connection import Api
task = Api().call("tasks.get_all", id=[sys.argv[1]], search_hidden=True)["tasks"][0]
last = [each for metric in task["last_metrics"].values() for each in metric.values()]
print(json.dumps({
    "name": task["name"], "type": task["type"], "status": task["status"], "said": task["status_message"],
    "parameters": {s: {k: i["value"] for k, i in items.items()} for s, items in task["hyperparams"].items()},
    "artifacts": [each["key"] for each in task["execution"]["artifacts"]],
    "models": len(task["models"]["output"]),
    "last_iteration": task["last_iteration"],
    "metrics": sorted({each["metric"] for each in last}),
    "single": sorted(each["variant"] for each in last if each["metric"] == "Summary"),
}))
"""


@pytest.fixture(scope="module")
def task(checkout, printed):
    return checkout.python(TASK, task_of(printed))


def test_a_plain_training_is_one_task_that_has_everything(checkout, printed, task):
    assert (task["name"], task["type"], task["status"]) == ("train test_resnet", "training", "completed")
    assert {"split", "bundle", "scores", "per_chip"} <= set(task["artifacts"])
    assert task["models"] == 1
    assert task["last_iteration"] == 2
    assert {"loss", "f2_at_0.2", "lr"} <= set(task["metrics"])
    assert {"valid_f2", "valid_f2_low", "valid_f2_high", "test_f2_low", "test_f2_high"} <= set(task["single"])
    returned = task["parameters"]["return"]
    assert returned["name"] == "test_resnet"
    assert f"valid_f2 {float(returned['valid_f2']):.4f}, test_f2 {float(returned['test_f2']):.4f}" in printed
    noted = task["parameters"]["properties"]
    assert (noted["architecture"], noted["epochs"]) == ("test_resnet", "2")
    assert noted["dataset"] == returned["dataset_id"]


def test_it_tells_each_epoch_and_starts_no_worker(checkout, printed):
    assert re.findall(r"test_resnet  epoch (\d)/2 ", printed) == ["1", "2"]
    printed = checkout("status")
    assert printed.startswith("server ")
    assert "cpu-0" not in printed


def test_ctrl_c_leaves_a_stopped_task(checkout, task):
    lines = []
    with checkout.start("train", "--epochs", "500") as process:
        for line in process.stdout:
            lines.append(line)
            if "epoch   2/500" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, lines
    assert "stopped by Ctrl-C" in lines[-1]
    ids = re.findall(r"new task id=(\w+)", "".join(lines))
    found = checkout.python(TASK, ids[0])
    assert (found["status"], found["said"]) == ("stopped", "Ctrl-C in the terminal")
    assert found["parameters"]["return"]["dataset_id"] == task["parameters"]["return"]["dataset_id"]


def test_ctrl_c_ends_a_training_whose_server_is_gone(checkout, task):
    printed = ""
    with checkout.start("train", "--epochs", "500", "--seed", "2") as process:
        for line in process.stdout:
            printed += line
            if "epoch   2/500" in line:
                server = json.loads((checkout.stack / "processes.json").read_text())[0]
                assert server["name"] == "server"
                os.kill(server["pid"], signal.SIGKILL)
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, printed
    assert "is not marked as stopped" in printed


def test_a_training_that_fails_is_a_failed_task_that_says_why(checkout, task):
    printed = checkout("train", sets=["split.valid=0.001"], code=1)
    assert "error: split:" in printed
    found = checkout.python(TASK, re.findall(r"new task id=(\w+)", printed)[0])
    assert found["status"] == "failed"
    assert found["said"].startswith("split: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nope"], "no entry nope; the entries are: test_resnet, mobilenet"),
        (["--model", "0,1"], "one task trains one model"),
        (["--dataset-id", "nope"], "no dataset nope"),
    ],
)
def test_mistakes_are_reported_before_a_task_exists(checkout, task, words, said):
    printed = checkout("train", *words, code=1)
    assert said in printed
    assert "ClearML Task" not in printed


@pytest.fixture(scope="module")
def run(first_run):
    """The pipeline run of both models and their ensemble, on the same chips."""
    return first_run.report


CLONE = """
import json, sys, time
import yaml
from pipeline.connection import Api
from pipeline.clearml_tasks import ENDED
api = Api()
source, dataset = sys.argv[1:]
[task] = api.call("tasks.get_all", id=[source])["tasks"]
clone = api.call("tasks.clone", task=source, new_task_name="other chips")["id"]
config = yaml.safe_load(task["configuration"]["config"]["value"])
config["split"]["seed"] = 7
edited = {"model": "mobilenet", "epochs": "1", "dataset_id": dataset}
item = {"name": "config", "value": yaml.safe_dump(config)}
api.call("tasks.edit_configuration", task=clone, configuration=[item])
api.call("tasks.edit_hyper_params", task=clone, hyperparams=[
    {"section": "Args", "name": name, "value": value} for name, value in edited.items()])
queue = api.call("queues.get_all", name="^cpu$")["queues"][0]["id"]
api.call("tasks.enqueue", task=clone, queue=queue)
status = "queued"
while status not in ENDED:
    time.sleep(0.5)
    status = api.call("tasks.get_all", id=[clone], only_fields=["status"])["tasks"][0]["status"]
print(json.dumps(clone))
"""


@pytest.fixture(scope="module")
def clone(checkout, run, printed, task):
    """As from the web page: a clone with another model, epochs and split, on the queue of an agent."""
    checkout("up")
    return checkout.python(CLONE, task_of(printed), task["parameters"]["return"]["dataset_id"])


def test_an_agent_runs_an_edited_clone(checkout, clone, task):
    found = checkout.python(TASK, clone)
    assert found["status"] == "completed", found["said"]
    returned = found["parameters"]["return"]
    assert returned["name"] == "mobilenet"
    assert returned["split_id"] == clone
    assert returned["dataset_id"] == task["parameters"]["return"]["dataset_id"]
    assert found["parameters"]["properties"]["epochs"] == "1"
    assert found["parameters"]["properties"]["split"] != task["parameters"]["properties"]["split"]
    assert "bundle" in found["artifacts"]


@pytest.fixture(scope="module")
def split(task):
    return task["parameters"]["properties"]["split"]


def best(checkout):
    return json.loads((checkout.output / "best" / "bundle.json").read_text())


def test_other_chips_are_no_competitors(checkout, clone, split):
    """The newest split has one evaluation: it is the best of these, whatever others score elsewhere."""
    printed = checkout("select")
    assert best(checkout)["name"] == "mobilenet"
    assert best(checkout)["split_seed"] == 7
    assert re.search(rf"not compared: 4 on amazon-chips 1\.0\.0, split {split}", printed)


def test_the_best_of_pipelines_and_plain_trainings_is_selected(checkout, run, clone, task, split):
    printed = checkout("select", "--split", split[:5])
    scores = {score["name"]: score["valid_f2"] for score in run["models"]}
    plain = float(task["parameters"]["return"]["valid_f2"])
    # An ensemble is the best only if its lead over the best single network is significant.
    single = max([plain, *(score for name, score in scores.items() if name != "ensemble")])
    chosen = scores["ensemble"] if best(checkout)["name"] == "ensemble" else single
    assert best(checkout)["scores"]["valid_f2"] == pytest.approx(chosen)
    assert chosen >= single
    assert len(re.findall("pipeline +│", printed)) == len(scores)
    assert len(re.findall("plain training +│", printed)) == 1
    metrics = json.loads((checkout.output / "best" / "metrics.json").read_text())
    others = {"test_resnet", "mobilenet", "ensemble"} - {best(checkout)["name"]}
    assert set(metrics["comparisons"]) == others
    for name in others:
        compared = metrics["comparisons"][name]["valid"]
        assert compared["low"] <= compared["difference"] <= compared["high"]


def test_a_model_or_a_task_can_be_named(checkout, run, clone, printed, task, split):
    checkout("select", "--split", split, "--model", "mobilenet")
    assert best(checkout)["name"] == "mobilenet"
    page = re.findall(r"^task +(\S+)", printed, re.MULTILINE)[0]
    checkout("select", "--task", page)
    test_f2 = float(task["parameters"]["return"]["test_f2"])
    assert best(checkout)["scores"]["test_f2"] == pytest.approx(test_f2)
    assert "has evaluated no model" in checkout("select", "--task", run["pipeline_id"], code=1)
    assert "there are: " in checkout("select", "--split", split, "--model", "nope", code=1)


ARCHIVE = """
import json, sys
from pipeline.connection import Api
api = Api()
print(json.dumps(api.call("tasks.archive", tasks=[sys.argv[1]])))
"""


def rows(checkout):
    """The rows of each table of experiments.md, by split: lists of cells."""
    checkout("experiments")
    tables = {}
    for line in (checkout.folder / "experiments.md").read_text().splitlines():
        if line.startswith("## "):
            table = tables.setdefault(line.rpartition(" ")[2], [])
        elif line.startswith("| ["):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
    return tables


def test_experiments_are_written_sorted_with_settings_scores_and_links(checkout, run, clone, split, task):
    tables = rows(checkout)
    text = (checkout.folder / "experiments.md").read_text()
    assert rows(checkout) == tables
    assert (checkout.folder / "experiments.md").read_text() == text
    assert list(tables)[1:] == [split]
    (other,), table = tables.values()
    assert other[1] == "mobilenetv3_small_050, 32 px, 1 epochs, batch 64, rate 0.003, seed 42"
    scores = [float(row[2].split()[0]) for row in table]
    assert scores == sorted(scores, reverse=True)
    by_model = {row[0].partition("]")[0].removeprefix("["): row for row in table if "pipelines" in row[5]}
    assert set(by_model) == {"test_resnet", "mobilenet", "ensemble"}
    for score in run["models"]:
        row = by_model[score["name"]]
        for cell, part in ((row[2], "valid"), (row[3], "test")):
            value, low, high = (float(text) for text in re.findall(r"\d\.\d{4}", cell))
            assert value == pytest.approx(score[f"{part}_f2"], abs=5e-5)
            assert low <= value <= high
        assert run["pipeline_id"] in row[5]
        step = next(
            step
            for step in run["steps"]
            if step["name"].endswith(score["name"]) and "train" not in step["name"]
        )
        assert step["task_id"] in row[0]
    assert by_model["test_resnet"][1].startswith("test_resnet, 32 px, 1 epochs")
    assert by_model["ensemble"][1] == "mean of test_resnet, mobilenet"
    assert re.fullmatch(r"\d+:\d\d", by_model["test_resnet"][4])


def test_what_is_archived_does_not_count(checkout, clone, split):
    checkout.python(ARCHIVE, clone)
    assert list(rows(checkout)) == [split]
    assert "not compared" not in checkout("select")
    assert best(checkout)["split_seed"] == 42
