"""What the SDK automates over tasks: searches, schedules, triggers and pipelines of existing tasks."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.embedded import Embedded, Sdk, agent, wait_for

pytestmark = pytest.mark.filterwarnings("default")

BASE = """
import json
from clearml import Task
QUIET = dict(auto_connect_frameworks=False, auto_resource_monitoring=False)
PARABOLA = '''
from clearml import Task
task = Task.init(auto_connect_frameworks=False, auto_resource_monitoring=False)
x = float(task.connect({"x": 0.0})["x"])
task.get_logger().report_scalar("loss", "square", (x - 2) ** 2, 0)
task.get_logger().report_single_value("square", (x - 2) ** 2)
'''

def script(name, code, **parameters):
    task = Task.create(project_name="Automation", task_name=name, script=None, packages=["clearml"],
                       add_task_init_call=False)
    task.set_script(diff=code, entry_point="script.py", working_dir=".", repository="", branch="", commit="")
    if parameters:
        task.set_parameters({f"General/{key}": value for key, value in parameters.items()})
    return task
"""


@pytest.fixture(scope="module")
def workers(shared: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two agents on the default queue."""
    place = tmp_path_factory.mktemp("workers")
    with ExitStack() as agents:
        for name in ("w1", "w2"):
            environment = shared.environment(place / name)
            agents.enter_context(agent(environment, name, "default", place / f"{name}.log"))
        wait_for(lambda: len(shared.call("workers.get_all").data["workers"]) == 2, "both agents")
        yield place


SEARCH = (
    BASE
    + """
from clearml.automation import (
    DiscreteParameterRange, GridSearch, HyperParameterOptimizer, RandomSearch, UniformParameterRange,
)
base = script("parabola", PARABOLA, x=0)
controller = Task.init(
    project_name="Automation", task_name="search", task_type=Task.TaskTypes.optimizer, **QUIET
)
searches = []
for strategy, space in (
    (GridSearch, DiscreteParameterRange("General/x", values=[1.0, 2.0, 4.0])),
    (RandomSearch, UniformParameterRange("General/x", 5.0, 6.0)),
):
    search = HyperParameterOptimizer(
        base_task_id=base.id, hyper_parameters=[space], objective_metric_title="loss",
        objective_metric_series="square", objective_metric_sign="min", optimizer_class=strategy,
        execution_queue="default", max_number_of_concurrent_tasks=1, pool_period_min=0.01,
        total_max_jobs=3 if strategy is GridSearch else 2, save_top_k_tasks_only=-1,
    )
    search.set_report_period(0.1)  # minutes: stop() waits for a report, where the jobs have ended before
    search.start()
    searches.append(search)
for search in searches:
    search.wait(timeout=2); search.stop()
top = search.get_top_experiments(top_k=9)
result = dict(
    x=[float(t.get_parameters()["General/x"]) for t in top],
    best=top[0].get_last_scalar_metrics()["loss"]["square"]["last"],
    status=sorted({t.get_status() for t in top}), details=len(search.get_top_experiments_details(top_k=9)),
)
controller.close()
"""
)


@pytest.mark.slow
def test_grid_and_random_search(sdk: Sdk, workers: Path) -> None:
    result = sdk(SEARCH, timeout=600)
    grid, random = result["x"][:3], result["x"][3:]
    assert (sorted(grid), grid[0], result["best"]) == ([1.0, 2.0, 4.0], 2.0, 0.0)
    assert len(random) == 2
    assert all(5 <= x <= 6 for x in random)
    assert (result["status"], result["details"]) == (["completed"], 5)


ROUNDS = (
    BASE
    + """
from clearml.automation import TaskScheduler, TriggerScheduler
from clearml import OutputModel
import time
work = script("work", PARABOLA, x=3)
called = []
scheduler = TaskScheduler(force_create_task_name="scheduler", force_create_task_project="Automation")
scheduler.add_task(schedule_task_id=work.id, queue="default", name="each minute", minute=1, recurring=True,
                   execute_immediately=True, target_project="Automation/scheduled")
scheduler.add_task(schedule_function=lambda: called.append("function"), name="call", minute=1,
                   execute_immediately=True)
scheduler._step(); scheduler._step()
deadline = time.time() + 600
def scheduled():
    return Task.get_tasks(project_name="Automation/scheduled")
while time.time() < deadline and not [t for t in scheduled() if t.get_status() == "completed"]:
    time.sleep(0.3)
result = dict(scheduled=[(t.name, t.get_status()) for t in scheduled()], called=called,
              jobs=[job.name for job in scheduler.get_scheduled_tasks()])
scheduler._serialize(); scheduler._serialize_state()
scheduler._task.close()

seen = []
early = Task.create(project_name="Automation/watched", task_name="early", packages=["clearml"])
early.mark_started(force=True); early.mark_completed(force=True)
time.sleep(0.1)
triggers = TriggerScheduler(force_create_task_name="triggers", force_create_task_project="Automation")
watched = dict(trigger_project="Automation/watched")
triggers.add_task_trigger(name="on status", trigger_on_status=["completed"], **watched,
                          schedule_function=lambda task_id: seen.append(("status", task_id)))
triggers.add_task_trigger(name="on metric", trigger_on_metric="loss", trigger_on_variant="l",
                          trigger_on_threshold=5, trigger_on_sign="max", **watched,
                          schedule_function=lambda task_id: seen.append(("metric", task_id)))
triggers.add_model_trigger(name="on publish", trigger_on_publish=True, **watched,
                           schedule_function=lambda model_id: seen.append(("model", model_id)))
triggers._step()
before = list(seen)
time.sleep(1)
watched = Task.create(project_name="Automation/watched", task_name="task", packages=["clearml"])
watched.mark_started(force=True); watched.get_logger().report_scalar("loss", "l", 9, 0); watched.flush(True)
model = OutputModel(task=watched, name="model"); model.update_weights(register_uri="https://example.com/m.bin")
model.publish()
watched.mark_completed(force=True)
for _ in range(3):
    triggers._step(); time.sleep(0.5)
result |= dict(before=before, seen=sorted({(k, v == watched.id or v == model.id) for k, v in seen}))
triggers._task.close()
"""
)


def test_one_round_of_a_schedule_and_of_triggers(sdk: Sdk, workers: Path) -> None:
    result = sdk(ROUNDS, timeout=600)
    assert [status for _, status in result["scheduled"]] == ["completed"]
    assert result["called"] == ["function"]
    assert sorted(result["jobs"]) == ["call", "each minute"]
    assert result["before"] == []
    assert result["seen"] == [["metric", True], ["model", True], ["status", True]]


PIPELINE = (
    BASE
    + """
from clearml import PipelineController
base = script("parabola step", PARABOLA, x=0)
flaky = script("flaky", '''
from clearml import Task
task = Task.init(auto_connect_frameworks=False, auto_resource_monitoring=False)
if "seen" not in task.artifacts:
    task.upload_artifact("seen", {"x": 1}, wait_on_upload=True)
    raise SystemExit("not the first time")
''')
calls = []
pipe = PipelineController(name="of tasks", project="Automation", version="1.0", pool_frequency=0.01,
                          abort_on_failure=False)
pipe.set_default_execution_queue("default")
pipe.add_parameter("x", 5.0)
def before(pipeline, node, overrides):
    calls.append("before " + node.name)
    return node.name != "skipped"
def after(pipeline, node):
    calls.append("after " + node.name)
def retry(pipeline, node, retries):
    calls.append(f"retry {node.name} {retries}")
    return retries < 2
step = dict(cache_executed_step=False, pre_execute_callback=before, post_execute_callback=after)
pipe.add_step(name="square", base_task_id=base.id, parameter_override={"General/x": "${pipeline.x}"},
              monitor_metrics=[("loss", "square")], **step)
pipe.add_step(name="again", parents=["square"], base_task_project="Automation",
              base_task_name="parabola step",
              parameter_override={"General/x": 3}, **step)
pipe.add_step(name="flaky", base_task_id=flaky.id, retry_on_failure=retry, **step)
pipe.add_step(name="skipped", parents=["square"], base_task_id=base.id, **step)
pipe.start_locally(run_pipeline_steps_locally=False)
nodes = list(pipe.get_pipeline_dag().values())
result = dict(
    calls=sorted(calls), nodes={n.name: n.status for n in nodes},
    x={
        n.name: Task.get_task(task_id=n.executed).get_parameters().get("General/x")
        for n in nodes if n.executed
    },
    monitored=pipe.task.get_last_scalar_metrics().get("loss"),
    elapsed=pipe.elapsed() >= 0, processed=len(pipe.get_processed_nodes()),
)
pipe.task.close()
"""
)


def test_a_pipeline_of_tasks_with_retries_callbacks_and_monitors(sdk: Sdk, workers: Path) -> None:
    result = sdk(PIPELINE, timeout=600)
    calls = result["calls"]
    assert {"before square", "after square", "before again", "before skipped", "before flaky"} <= set(calls)
    assert "after skipped" not in calls
    assert any(call.startswith("retry flaky") for call in calls)
    assert result["nodes"] == {
        "square": "completed", "again": "completed", "flaky": "completed", "skipped": "skipped",
    }  # fmt: skip
    assert (result["x"]["square"], result["x"]["again"]) == ("5.0", "3")
    assert result["monitored"]["square"]["last"] == 9.0


ABORTED = (
    BASE
    + """
from clearml import PipelineController
import time
sleeper = script("sleeper", "import time; time.sleep(300)")
pipe = PipelineController(name="aborted", project="Automation", version="1.0", pool_frequency=0.01)
pipe.add_step(name="sleeper", base_task_id=sleeper.id, execution_queue="default")
pipe._start(wait=False)
deadline = time.time() + 600
while time.time() < deadline:
    job = pipe.get_pipeline_dag()["sleeper"].job
    if job and Task.get_task(task_id=job.task_id()).get_status() == "in_progress":
        break
    time.sleep(0.2)
step = job.task_id()
pipe.stop(timeout=20, mark_aborted=True)
result = dict(step=step, run=pipe.task.id)
"""
)


def test_an_aborted_pipeline_stops_its_step(sdk: Sdk, shared: Embedded, workers: Path) -> None:
    result = sdk(ABORTED, timeout=600)
    states: dict[str, Any] = {}

    def ended() -> bool:
        states.update({name: shared.task(task)["status"] for name, task in result.items()})
        return set(states.values()) == {"stopped"}

    wait_for(ended, f"the end of run and step, now {json.dumps(states)}")
