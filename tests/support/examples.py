"""Runs ClearML's own example scripts, unmodified, against an embedded server with real agents.

    PYTHONPATH=. python tests/support/examples.py CLEARML_CHECKOUT/examples [PATTERN ...]

Well went what ended with 0, printed no error, left no task to agents that failed, and gave the server nothing
to complain of. Some download data or need more packages: their last line says so.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path

from support.embedded import Embedded, agent, running

EXAMPLES = """\
reporting scalar_reporting single_scalar_reporting text_reporting image_reporting media_reporting
reporting html_reporting 3d_plots_reporting scatter_hist_confusion_mat_reporting pandas_reporting
reporting plotly_reporting matplotlib_manual_reporting hyper_parameters config_files artifacts
reporting configuration_including_hyperparameters artifacts_retrieval using_artifacts_example
reporting model_config model_reporting model_reporting_plots
frameworks matplotlib/matplotlib_example scikit-learn/sklearn_joblib_example click/click_single_cmd
frameworks scikit-learn/sklearn_matplotlib_example pytorch/tensorboard_toy_pytorch fire/fire_class_cmd
frameworks hydra/hydra_example jsonargparse/jsonargparse_nested_namespaces
. advanced/multiple_tasks_single_process advanced/execute_remotely_example distributed/subprocess_example
datasets csv_dataset_creation dataset_folder_syncing single_parent_child_dataset multi_parent_child_dataset
automation toy_base_task task_piping_example programmatic_orchestration manual_random_param_search_example
pipeline step1_dataset_artifact step2_data_processing step3_train_model pipeline_from_tasks
pipeline pipeline_from_functions pipeline_from_decorator full_custom_pipeline
. optimization/hyper-parameter-optimization/hyper_parameter_optimizer services/cleanup/cleanup_service
. scheduler/cron_example scheduler/trigger_example
"""
ARGUMENTS = {"click_single_cmd": ["--name", "you"], "fire_class_cmd": ["add", "1", "2"]}
ENDLESS = {"cleanup_service": "going to sleep", "cron_example": "Waiting for next run"}
PATIENCE = 600.0
COMPLAINT = re.compile(r"clearml - ERROR|Traceback|Retrying|Action failed|not implemented")
TEMPLATE = """
from clearml import Task
task = Task.init("examples", "{name}")
values = task.connect({{"batch_size": 1, "layer_1": 128, "layer_2": 128, "epochs": 1}})
for number in range(int(values["epochs"])):
    accuracy = 1 - 1 / (number + int(values["layer_1"]))
    task.get_logger().report_scalar("epoch_accuracy", "epoch_accuracy", accuracy, number)
"""


def main(folder: Path, patterns: list[str]) -> int:
    lines = [line.split() for line in EXAMPLES.splitlines()]
    names = [f"{folder}/{name}.py".removeprefix("./") for folder, *scripts in lines for name in scripts]
    wanted = [name for name in names if any(fnmatch(name, each) for each in patterns)]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        here = Path(place)
        server = stack.enter_context(running(here / "data"))
        for queue in ("services", "default", "1xGPU"):
            server.call("queues.create", name=queue)
            environment, log = server.environment(here / f"agent-{queue}"), here / f"{queue}.log"
            # A second agent of one name on a machine ends at once, and then nobody takes the tasks.
            stack.enter_context(agent(environment, f"{queue}-{os.getpid()}", queue, log))
        for name in ("Keras HP optimization base", "PyTorch MNIST train"):  # what other examples would train
            (here / "template.py").write_text(TEMPLATE.format(name=name))
            outcome(server, here / "template.py", here / "home")
        good = 0
        for name in wanted:
            result, seconds = outcome(server, folder / name, here / "home")
            print(f"| {name} | {result} | {seconds:.0f} s |", flush=True)
            good += result == "ok"
    print(f"{good} of {len(wanted)} went well")
    return int(good < len(wanted))


def outcome(server: Embedded, script: Path, home: Path) -> tuple[str, float]:
    """``ok`` or what went wrong, and the seconds until the script and its tasks had ended."""
    if not script.exists():
        return "not there", 0.0
    began, known, failed = time.monotonic(), server.log.stat().st_size, tasks(server, "failed")
    ended, text = finish(script, server.environment(home), began + PATIENCE)
    while tasks(server, "queued", "in_progress") and time.monotonic() < began + PATIENCE:
        if script.stem in (*ENDLESS, "trigger_example"):
            server.call("tasks.stop_many", ids=sorted(tasks(server, "queued", "in_progress")), force=True)
        time.sleep(0.5)
    seconds = time.monotonic() - began
    if ended != 0:
        return f"ended with {ended}: {(text.strip().splitlines() or ['(no output)'])[-1][:160]}", seconds
    complaints = COMPLAINT.findall(text) + server.log.read_text()[known:].splitlines()
    failed = tasks(server, "failed") - failed
    bad = [f"{len(failed)} tasks failed"] * bool(failed) + complaints
    return "; ".join(bad)[:200] or "ok", seconds


def finish(script: Path, environment: dict[str, str], deadline: float) -> tuple[int | None, str]:
    """Run the script to its end, or until it has said that it waits; returns its exit code and output."""
    command = [sys.executable, str(script), *ARGUMENTS.get(script.stem, [])]
    environment |= {"MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1"}
    waits, pipe, text = ENDLESS.get(script.stem), subprocess.PIPE, ""
    with tempfile.TemporaryFile("w+") as output:
        options = {"env": environment, "stdin": pipe, "stdout": output, "stderr": output, "text": True}
        with subprocess.Popen(command, cwd=script.parent, **options) as process:
            process.stdin.write("n\n")
            process.stdin.close()
            while process.poll() is None and time.monotonic() < deadline and not (waits and waits in text):
                time.sleep(0.2)
                output.seek(0)
                text = output.read()
            ended = 0 if waits and waits in text else process.poll()
            process.kill()
        output.seek(0)
        return ended, output.read()


def tasks(server: Embedded, *states: str) -> set[str]:
    found = server.call("tasks.get_all", status=list(states), only_fields=["id"]).data["tasks"]
    return {task["id"] for task in found}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:] or ["*"]))
