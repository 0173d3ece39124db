"""The unmodified SDK against the embedded server: what a user's script does, and what it then finds."""

from pathlib import Path

import pytest
from support.embedded import Embedded, Sdk, fetch

pytestmark = pytest.mark.filterwarnings("default")

TASK = """
from clearml import Task
task = Task.init(
    project_name="Sdk/sub project", task_name="a task", output_uri=True, reuse_last_task_id=False,
    auto_connect_frameworks=False, auto_resource_monitoring=False,
)
"""


def test_a_task_reports_everything_and_reads_it_back(sdk: Sdk, shared: Embedded, tmp_path: Path) -> None:
    result = sdk(
        TASK
        + """
import numpy, pathlib
settings = task.connect({"lr": 0.1, "layers": [1, 2], "name": "x"})
task.connect_configuration({"a": {"b": 1}}, name="models")
task.set_user_properties(colour="green")
task.add_tags(["one", "two"])
task.set_comment("a comment")
logger = task.get_logger()
for step in range(20):
    logger.report_scalar("loss", "train", 1 / (step + 1), step)
logger.report_single_value("f2", 0.93)
logger.report_text("hello from the log")
logger.report_image("chips", "first", 0, image=numpy.zeros((8, 8, 3), dtype="uint8"))
logger.report_table("table", "t", 0, table_plot=[["a", "b"], [1, 2]])
logger.report_histogram("histogram", "h", values=[1, 2, 3], iteration=0)
pathlib.Path("report.txt").write_text("a report")
task.upload_artifact("numbers", {"x": 1})
task.upload_artifact("report", "report.txt")
task.flush(wait_for_uploads=True)
task.close()

seen = Task.get_task(task_id=task.id)
result = dict(
    id=task.id, status=seen.get_status(), parameters=seen.get_parameters(),
    configuration=seen.get_configuration_object_as_dict("models"), tags=seen.get_tags(), comment=seen.comment,
    properties=seen.get_user_properties(value_only=True), iteration=seen.get_last_iteration(),
    scalars=seen.get_reported_scalars(), last=seen.get_last_scalar_metrics(),
    single=seen.get_reported_single_values(), plots=len(seen.get_reported_plots()),
    images=seen.get_debug_samples("chips", "first"), console=seen.get_reported_console_output(10),
    numbers=seen.artifacts["numbers"].get(),
    report=pathlib.Path(seen.artifacts["report"].get_local_copy()).read_text(),
)
"""
    )
    assert result["status"] == "completed"
    assert result["parameters"] == {
        "General/lr": "0.1",
        "General/layers": "[1, 2]",
        "General/name": "x",
        "properties/colour": "green",
    }
    assert result["configuration"] == {"a": {"b": 1}}
    assert result["tags"] == ["one", "two"]
    assert result["properties"] == {"colour": "green"}
    assert result["iteration"] == 19
    assert result["scalars"]["loss"]["train"]["x"] == list(range(20))
    assert result["last"]["loss"]["train"] == {"last": 0.05, "min": 0.05, "max": 1.0}
    assert result["single"] == {"f2": 0.93}
    assert result["plots"] == 2
    assert len(result["images"]) == 1
    assert "hello from the log" in "".join(result["console"])
    assert (result["numbers"], result["report"]) == ({"x": 1}, "a report")
    assert shared.task(result["id"])["active_duration"] >= 0


def test_a_failing_script_leaves_a_failed_task(sdk: Sdk, shared: Embedded) -> None:
    result = sdk(
        """
import subprocess, sys, textwrap
code = textwrap.dedent('''
    from clearml import Task
    task = Task.init(project_name="Sdk", task_name="crash", auto_connect_frameworks=False)
    print("id=" + task.id, flush=True)
    raise RuntimeError("boom")
''')
open("crash.py", "w").write(code)
done = subprocess.run([sys.executable, "crash.py"], capture_output=True, text=True)
result = [done.returncode, done.stdout.partition("id=")[2].split()[0]]
"""
    )
    assert result[0] != 0
    task = shared.task(result[1])
    assert task["status"] == "failed"
    log = shared.call("events.get_task_log", task=result[1]).data["events"]
    assert "boom" in "".join(event["msg"] for event in log)


def test_models_are_uploaded_found_and_published(sdk: Sdk) -> None:
    result = sdk(
        TASK
        + """
import pathlib
from clearml import InputModel, Model, OutputModel
pathlib.Path("weights.bin").write_bytes(b"weights")
output = OutputModel(
    task=task, name="best", framework="PyTorch", tags=["planets"], label_enumeration={"clear": 0}
)
output.update_weights("weights.bin", auto_delete_file=False, async_enable=False)
output.set_metadata("valid_f2", "0.93", "float")
output.publish()
task.close()
found = Model.query_models(
    project_name="Sdk/sub project", model_name="best", only_published=True, tags=["planets"]
)
model = InputModel(found[0].id)
result = dict(
    count=len(found), weights=pathlib.Path(model.get_local_copy()).read_text(), labels=model.labels,
    published=model.published, metadata=model.get_metadata("valid_f2"), task=model.task, id=model.id,
    of_task=[m.id for m in Task.get_task(task_id=task.id).models["output"]], task_id=task.id,
)
"""
    )
    assert (result["count"], result["weights"], result["labels"]) == (1, "weights", {"clear": 0})
    assert (result["published"], result["metadata"]) == (True, "0.93")
    assert (result["task"], result["of_task"]) == (result["task_id"], [result["id"]])


def test_a_dataset_there_and_back(sdk: Sdk) -> None:
    result = sdk(
        """
import pathlib
from clearml import Dataset
folder = pathlib.Path("chips"); folder.mkdir()
for number in range(5):
    (folder / f"chip_{number}.txt").write_text(str(number))
first = Dataset.create(dataset_name="chips", dataset_project="Sdk/data", dataset_tags=["content:abc"])
first.add_files("chips"); first.upload(show_progress=False); first.finalize()
(folder / "chip_5.txt").write_text("5")
second = Dataset.create(dataset_name="chips", dataset_project="Sdk/data", parent_datasets=[first.id])
second.sync_folder("chips"); second.upload(show_progress=False); second.finalize()
found = Dataset.list_datasets(
    dataset_project="Sdk/data", partial_name="chips", tags=["content:abc"], only_completed=True
)
latest = Dataset.get(dataset_name="chips", dataset_project="Sdk/data")
copy = pathlib.Path(latest.get_local_copy())
result = dict(files=sorted(path.name for path in copy.iterdir() if path.name.startswith("chip_")),
              found=[d["id"] for d in found], first=first.id, second=second.id, latest=latest.id,
              versions=[first.version, second.version], final=latest.is_final())
"""
    )
    assert result["files"] == [f"chip_{number}.txt" for number in range(6)]
    assert result["found"] == [result["first"]]
    assert result["latest"] == result["second"]
    assert result["versions"] == ["1.0.0", "1.0.1"]
    assert result["final"] is True


def test_clone_edit_enqueue_and_delete(sdk: Sdk, shared: Embedded) -> None:
    result = sdk(
        """
from clearml import Task
source = Task.create(project_name="Sdk", task_name="source", script="snippet.py", add_task_init_call=False,
                     packages=["clearml"])
source.set_parameters({"Args/lr": 0.1})
clone = Task.clone(source, name="clone")
clone.set_parameter("Args/lr", 0.2)
from clearml.backend_api.session.client import APIClient
client = APIClient()
queue = client.queues.create(name="sdk")
queued = Task.enqueue(clone, queue_name="sdk").to_dict()["queued"]
status = Task.get_task(task_id=clone.id).get_status()
position = [entry.task for entry in client.queues.get_by_id(queue=queue.id).entries]
Task.dequeue(clone)
dequeued = Task.get_task(task_id=clone.id).get_status()
found = [t.id for t in Task.get_tasks(project_name="Sdk", task_name="clone")]
Task.get_task(task_id=source.id).delete()
result = dict(queued=queued, status=status, position=position, dequeued=dequeued, found=found, clone=clone.id,
              parameters=Task.get_task(task_id=clone.id).get_parameters(), source=source.id)
"""
    )
    assert (result["queued"], result["status"], result["position"]) == (1, "queued", [result["clone"]])
    assert (result["dequeued"], result["found"]) == ("created", [result["clone"]])
    assert result["parameters"] == {"Args/lr": "0.2"}
    assert shared.call("tasks.get_by_id", task=result["source"]).error == (400, 101)


def test_delete_takes_the_files_too(sdk: Sdk, shared: Embedded) -> None:
    result = sdk(
        TASK
        + """
task.upload_artifact("numbers", {"x": 1}, wait_on_upload=True)
task.close()
gone = Task.get_task(task_id=task.id)
url = gone.artifacts["numbers"].url
gone.delete(delete_artifacts_and_models=True)
result = url
"""
    )
    assert fetch(result, headers=shared.bearer).status == 404


def test_reports_from_forked_processes_all_arrive(sdk: Sdk) -> None:
    """The SDK forks with its connections open: nobody may read another's answer."""
    result = sdk(
        TASK
        + """
import os
logger = task.get_logger()
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        for step in range(10):
            Task.current_task().get_logger().report_scalar("child", str(child), step, step)
        Task.current_task().flush(wait_for_uploads=True)
        os._exit(0)
    children.append(pid)
for step in range(10):
    logger.report_scalar("parent", "p", step, step)
for pid in children:
    os.waitpid(pid, 0)
task.flush(wait_for_uploads=True)
task.close()
scalars = Task.get_task(task_id=task.id).get_reported_scalars()
result = {
    metric: {variant: len(curve["x"]) for variant, curve in variants.items()}
    for metric, variants in scalars.items()
}
"""
    )
    assert result == {"child": {"0": 10, "1": 10, "2": 10}, "parent": {"p": 10}}


def test_wrong_keys_are_refused_clearly(sdk: Sdk) -> None:
    result = sdk(
        """
import os
os.environ["CLEARML_API_SECRET_KEY"] = "wrong"
from clearml.backend_api import Session
try:
    Session(); result = "let in"
except Exception as error:
    result = f"{type(error).__name__}: {error}"
"""
    )
    assert "error 401" in result
    assert "invalid credentials" in result
