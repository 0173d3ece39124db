"""Whole scripts, as people write them around the SDK: what it hooks into by itself must arrive, too."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.embedded import Embedded, Sdk, fetch

pytestmark = pytest.mark.filterwarnings("default")


def run(server: Embedded, folder: Path, code: str, *arguments: str) -> str:
    """Run a script of its own file, as from a terminal; returns what it printed."""
    (folder / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py", *arguments],
        env=server.environment(folder / "home") | {"MPLBACKEND": "agg"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def find(server: Embedded, name: str) -> dict[str, Any]:
    found = server.call("tasks.get_all", name=f"^{name}$", search_hidden=True, order_by=["created"]).data
    task: dict[str, Any] = found["tasks"][-1]
    return task


def page(server: Embedded, path: str) -> str:
    """Return a page's text on one line."""
    return fetch(f"{server.api}{path}", headers=server.session).body.decode().replace("\n", " ")


def values(task: dict[str, Any], section: str) -> dict[str, str]:
    return {name: item["value"] for name, item in task["hyperparams"][section].items()}


SETTINGS = """
import argparse, enum, json, pathlib
from clearml import Task
from clearml.task_parameters import TaskParameters, param, percent_param

class Mode(enum.Enum):
    FAST = "fast"

class Training(TaskParameters):
    iterations = param(type=int, desc="how long", range=(0, 100))
    dropout = percent_param(desc="how much to drop")

task = Task.init("Scripts", "settings", auto_connect_arg_parser={"secret": False})
parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=1, help="of a batch")
parser.add_argument("--fast", action="store_true")
parser.add_argument("--secret", default="hidden")
arguments = parser.parse_args()
given = task.connect({"list": [1, 2], "nested": {"a": {"b": 1}}, "mode": Mode.FAST, "rate": 2.5})
given["late"] = "added later"
task.connect(Training(iterations=7, dropout=0.25), name="Training")
file = pathlib.Path("settings.json")
file.write_text(json.dumps({"depth": 3}))
read = json.loads(pathlib.Path(task.connect_configuration(file, name="file")).read_text())
whole = task.connect_configuration({"rows": [{"a": 1}], "deep": {"er": [1, 2]}}, name="object")
assert (read, whole["deep"]["er"], arguments.size) == ({"depth": 3}, [1, 2], 4)
task.close()
"""


def test_settings_from_every_side(server: Embedded, tmp_path: Path) -> None:
    run(server, tmp_path, SETTINGS, "--size", "4", "--fast")
    task = find(server, "settings")
    assert values(task, "Args") == {"size": "4", "fast": "True"}
    assert task["hyperparams"]["Args"]["size"]["description"] == "of a batch"
    general = values(task, "General")
    assert (general["list"], general["rate"], general["nested/a/b"]) == ("[1, 2]", "2.5", "1")
    assert general["late"] == "added later"
    assert values(task, "Training") == {"iterations": "7", "dropout": "0.25"}
    assert task["configuration"]["file"]["value"] == '{"depth": 3}'
    assert "er = [1, 2]" in task["configuration"]["object"]["value"]


PROCESSES = """
import multiprocessing, subprocess, sys
from clearml import Task

def work(number):
    Task.current_task().connect({f"child_{number}": number}, name="Children")
    Task.current_task().get_logger().report_scalar("square", "of a child", number**2, number)
    print("worked on", number)

if __name__ == "__main__":
    second = len(sys.argv) > 1
    task = Task.init("Scripts", "processes")
    task.connect({"second" if second else "first": True})
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(4, 8) if second else range(4))
        pool.close()
        pool.join()
    if not second:
        subprocess.run([sys.executable, sys.argv[0], "again"], check=True)
    task.close()
"""


def test_processes_of_a_script_report_to_one_task(server: Embedded, tmp_path: Path) -> None:
    """A pool of forks, and a new process, which joins its parent's task."""
    run(server, tmp_path, PROCESSES)
    tasks = server.call("tasks.get_all", name="^processes$").data["tasks"]
    assert [task["status"] for task in tasks] == ["completed"]
    assert values(tasks[0], "Children") == {f"child_{number}": str(number) for number in range(8)}
    assert values(tasks[0], "General") == {"first": "True", "second": "True"}
    curve = server.call("events.scalar_metrics_iter_histogram", task=tasks[0]["id"]).data["square"][
        "of a child"
    ]
    assert (curve["x"], curve["y"]) == (list(range(8)), [float(number**2) for number in range(8)])
    log = server.call("events.download_task_log", task=tasks[0]["id"]).data["lines"]
    assert all(f"worked on {number}" in "".join(log) for number in range(8))


HOOKS = """
import joblib, matplotlib.pyplot as plt, numpy as np
from clearml import Task
from sklearn.linear_model import LogisticRegression

task = Task.init("Scripts", "hooks", output_uri=True)
model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
joblib.dump(model, "model.pkl", compress=True)
assert joblib.load("model.pkl").predict([[2.0]])[0] == 1
plt.plot([1, 2, 3])
plt.title("a line")
plt.show()
plt.imshow(np.eye(8))
plt.show()
task.flush(wait_for_uploads=True)
task.close()
for number in range(2):
    Task.init("Scripts", f"short {number}").close()
"""


def test_what_the_sdk_notes_by_itself(server: Embedded, tmp_path: Path) -> None:
    """A model that is written, figures that are shown; several tasks in one process."""
    run(server, tmp_path, HOOKS)
    task = find(server, "hooks")
    output = server.call("models.get_by_id", model=task["models"]["output"][0]["model"]).data["model"]
    assert output["uri"].startswith(server.files)
    assert output["framework"] in ("ScikitLearn", "Joblib")
    plots = server.call("events.get_task_plots", task=task["id"], iters=10).data["plots"]
    assert {plot["metric"] for plot in plots} >= {"a line"}
    assert [find(server, f"short {number}")["status"] for number in range(2)] == ["completed"] * 2


REMOTE = """
from clearml import Task
task = Task.init("Scripts", "template", auto_connect_frameworks=False)
values = task.connect({"epochs": 1})
task.execute_remotely(queue_name=None)
raise SystemExit("this is for an agent")
"""


def test_a_script_that_leaves_itself_as_a_template(server: Embedded, tmp_path: Path) -> None:
    run(server, tmp_path, REMOTE)
    task = find(server, "template")
    assert task["status"] in ("created", "stopped")
    assert values(task, "General") == {"epochs": "1"}
    assert "execute_remotely" in task["script"]["diff"]
    server.call("tasks.reset", task=task["id"])
    server.call("tasks.enqueue", task=task["id"], queue_name="default")
    assert server.task(task["id"])["status"] == "queued"


COMPONENTS = """
def step_one(extra: int = 0):
    from sklearn.datasets import load_iris
    return load_iris(as_frame=True).frame

def step_two(data_frame, test_size: float = 0.2):
    from sklearn.model_selection import train_test_split
    return train_test_split(data_frame.drop(columns="target"), data_frame["target"], test_size=test_size)

def step_three(data, depth: int = 2):
    from sklearn.tree import DecisionTreeClassifier
    from clearml import Task
    train, test, labels, test_labels = data
    model = DecisionTreeClassifier(max_depth=int(depth)).fit(train, labels)
    for name, value in (("train", model.score(train, labels)), ("test", model.score(test, test_labels))):
        Task.current_task().get_logger().report_scalar("accuracy", name, value, 0)
    return model
"""
"""Steps after ClearML's examples `pipeline_from_functions` and `pipeline_from_decorator`."""

DECORATED = (
    "from clearml.automation.controller import PipelineDecorator\n"
    + re.sub(
        "def (step_(?:one|two|three))",
        r"@PipelineDecorator.component(return_values=['\1_result'], cache=True)\ndef \1",
        COMPONENTS,
    )
    + """
@PipelineDecorator.component(return_values=["accuracy", "errors"], cache=True)
def step_four(model, data):
    right = model.predict(data[1]) == data[3]
    return float(right.mean()), int((~right).sum())

@PipelineDecorator.pipeline(name="decorated", project="Scripts", version="0.1")
def main(depth=2):
    data = step_two(step_one())
    # The controller changes what a step returned: a next step takes that, as an artifact of the controller.
    data = [data[0] * 1, *data[1:]]
    accuracy, errors = step_four(step_three(data, depth), data)
    print(f"accuracy={accuracy} errors={errors}")

if __name__ == "__main__":
    PipelineDecorator.run_locally()
    main()
"""
)

FUNCTIONS = (
    "import json\nfrom clearml import PipelineController\n"
    + COMPONENTS
    + """
pipe = PipelineController(project="Scripts", name="functions", version="1.1", add_pipeline_tags=False)
pipe.add_parameter("depth", description="of the tree", default=2)
for step, arguments in (
    (step_one, {}),
    (step_two, {"data_frame": "${step_one.step_one_result}"}),
    (step_three, {"data": "${step_two.step_two_result}", "depth": "${pipeline.depth}"}),
):
    result = [f"{step.__name__}_result"]
    pipe.add_function_step(step.__name__, step, arguments, function_return=result, cache_executed_step=True)
column = {"metric": "accuracy", "variant": "test", "title": "Accuracy", "format": ".1%", "better": "higher"}
declared = {"columns": [column], "rows": {"step_three": {}}}
pipe.task.set_configuration_object("results", json.dumps(declared), config_type="json")
pipe.start_locally(run_pipeline_steps_locally=True)
"""
)


@pytest.mark.slow
def test_a_decorated_pipeline_shows_what_its_steps_returned(server: Embedded, tmp_path: Path) -> None:
    """Objects go from step to step, a repeated run reuses the results, and the page knows no step by name."""
    printed = [run(server, tmp_path, DECORATED) for _ in range(2)]
    accuracy, errors = re.search(r"accuracy=(\S+) errors=(\d+)", printed[0]).groups()
    assert f"accuracy={accuracy} errors={errors}" in printed[1]
    runs = server.call("tasks.get_all", type=["controller"], search_hidden=True).data["tasks"]
    assert [task["status"] for task in runs] == ["completed"] * 2
    steps = server.call("tasks.get_all", name="^step_one$", search_hidden=True).data["tasks"]
    assert [step["status"] for step in steps] == ["completed"]
    number = rf"{float(accuracy):.6g}\b"
    shown = page(server, f"/pipelines/{runs[0]['project']}/experiments/{runs[0]['id']}")
    assert re.search(rf"Last result</span><strong>step_four.*accuracy</span><strong>{number}", shown)
    for path in ("/", "/compare?" + "&".join(f"ids={task['id']}" for task in runs)):
        assert re.search(rf"accuracy.*{number}", page(server, path)), path


@pytest.mark.slow
def test_a_pipeline_of_functions_declares_its_results(server: Embedded, tmp_path: Path) -> None:
    run(server, tmp_path, FUNCTIONS)
    task = server.call("tasks.get_all", type=["controller"], search_hidden=True).data["tasks"][0]
    shown = page(server, f"/pipelines/{task['project']}/experiments/{task['id']}")
    assert re.search(r"Best step</span><strong>step_three.*Accuracy</span><strong>\d+\.\d%", shown)
    assert re.search(r"Accuracy.*step_three.*\d+\.\d%", page(server, "/"))


MODEL = """
from clearml import InputModel, OutputModel, Task
task = Task.init("Scripts", "registrar", auto_connect_frameworks=False)
model = OutputModel(task=task, name="registered", framework="pytorch")
model.update_labels({"cat": 0, "dog": 1})
model.update_design(config_dict={"layers": [1, 2], "deep": {"er": 0.5}})
model.update_weights(register_uri="https://example.com/weights.pt")
task.close()
seen = InputModel(model_id=model.id)
result = dict(id=model.id, url=seen.url, labels=seen.labels, design=seen.config_dict)
"""


def test_a_model_that_lies_elsewhere_is_registered(shared: Embedded, sdk: Sdk) -> None:
    found = sdk(MODEL)
    assert found["url"] == "https://example.com/weights.pt"
    assert found["labels"] == {"cat": 0, "dog": 1}
    assert found["design"] == {"layers": [1, 2], "deep": {"er": 0.5}}
    model = shared.call("models.get_by_id", model=found["id"]).data["model"]
    assert (model["name"], model["framework"]) == ("registered", "pytorch")
