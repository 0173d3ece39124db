"""Time between a step's end and its child's beginning, with ClearML's default settings and with ours.

The same toy pipeline, four steps in a row that only read the clock, runs with real agents on the embedded
server: once with the defaults of the SDK and the agent, once with the settings of `pipeline.stack.stack` and
`pipeline.controller`. The two alternate; the medians and their ratio are printed, and where the time goes.

    python benchmarks/orchestration.py --rounds 3
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.config.settings import load_config
from pipeline.stack import processes
from pipeline.stack.stack import Stack

STEPS = 4
PROJECT = "benchmark"

CONTROLLER = '''
import time
from clearml import PipelineController

def read_clock(parent):
    """Return when the step's own code began and ended."""
    import time
    began = time.time()
    print("after", parent)
    return began, time.time()

if __name__ == "__main__":
    pipe = PipelineController(name="toy", project="{project}", repo="", packages=["clearml"],
                              skip_global_imports=True{frequency})
    parent, before = "none", []
    for index in range({steps}):
        name = "step_%d" % index
        pipe.add_function_step(name=name, function=read_clock, function_kwargs=dict(parent=parent),
                               function_return=["began", "ended"], parents=before, execution_queue="{queue}",
                               packages=["clearml"], cache_executed_step=False)
        parent, before = "${{%s.id}}" % name, [name]
    pipe.start(queue="{services}")
'''


@dataclass(frozen=True)
class Setting:
    """One way to run the toy: its queues, the SDK's configuration, and the controller's poll frequency."""

    name: str
    services: str
    queue: str
    configuration: Path
    frequency: str


@dataclass(frozen=True)
class Gap:
    """Seconds between the end of a step's code and the beginning of its child's, and their parts."""

    whole: float
    ending: float
    controller: float
    queue: float
    start: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = Stack(home / "stack")
        config = load_config("sample", [("stack.api_port", "0"), ("stack.files_port", "0")])
        connection = stack.up(config)
        connection.use()
        plain = start_default_agents(home, stack)
        try:
            measure(settings_of(home, stack), rounds)
        finally:
            processes.end(member for agent in plain for member in processes.family(agent))
            stack.down()


def settings_of(home: Path, stack: Stack) -> list[Setting]:
    """ClearML's defaults, and ours."""
    return [
        Setting("default", "plain_services", "plain", home / "plain.conf", ""),
        Setting("ours", "services", "cpu", stack.home / "clearml.conf", ", pool_frequency=0.01"),
    ]


def start_default_agents(home: Path, stack: Stack) -> list[processes.Process]:
    """Two agents as `clearml-agent daemon` starts them: 5 s polls, an environment installed per task."""
    api = json.loads((stack.home / "clearml.conf").read_text())["api"]
    (home / "plain.conf").write_text(json.dumps({"api": api}))
    agents = []
    for queue in ("plain_services", "plain"):
        command = [sys.executable, "-m", "clearml_agent", "daemon", "--foreground", "--create-queue"]
        environment = {
            "CLEARML_CONFIG_FILE": str(home / "plain.conf"),
            "CLEARML_WORKER_ID": f"bench:{queue}",
            "HOME": str(home),
        }
        log = home / "logs" / f"{queue}.log"
        agents.append(processes.start(queue, [*command, "--queue", queue], log, environment, home))
    return agents


def measure(settings: list[Setting], rounds: int) -> None:
    """Alternate between the settings and print the medians of all gaps."""
    gaps: dict[str, list[Gap]] = {setting.name: [] for setting in settings}
    for number in range(rounds):
        for setting in settings:
            found = run(setting)
            gaps[setting.name] += found
            print(
                f"round {number + 1} {setting.name:8} " + "  ".join(f"{gap.whole:.1f} s" for gap in found),
                flush=True,
            )
    headings = "".join(f"{part:>12}" for part in Gap.__annotations__)
    print(f"\n{'median of a transition':24}{headings}")
    for name, found in gaps.items():
        parts = [statistics.median(getattr(gap, part) for gap in found) for part in Gap.__annotations__]
        print(f"{name:24}" + "".join(f"{part:12.2f}" for part in parts))
    whole = {name: statistics.median(gap.whole for gap in found) for name, found in gaps.items()}
    print(f"\ndefault / ours: {whole['default'] / whole['ours']:.1f}")


def run(setting: Setting) -> list[Gap]:
    """Run the toy once and read each transition from the tasks' times and from what the steps returned."""
    script = Path(tempfile.mkdtemp()) / "toy_controller.py"
    script.write_text(
        CONTROLLER.format(
            project=PROJECT,
            frequency=setting.frequency,
            steps=STEPS,
            queue=setting.queue,
            services=setting.services,
        )
    )
    environment = os.environ | {"CLEARML_CONFIG_FILE": str(setting.configuration)}
    subprocess.run(
        [sys.executable, script], env=environment, cwd=script.parent, check=True, capture_output=True
    )
    from pipeline.connection import Api
    from pipeline.runs.state import last_run, states

    api = Api()
    *_, state = states(api, str(last_run(api, PROJECT, "toy")))
    if not state.good:
        raise SystemExit(
            f"the toy run {state.id} did not complete: {[(s.name, s.status) for s in state.steps]}"
        )
    ids = [step.task_id for step in state.steps]
    found = api.call("tasks.get_all", id=ids, search_hidden=True)["tasks"]
    by_id = {task["id"]: task for task in found}
    tasks = [by_id[task_id] for task_id in ids]
    return [gap_of(parent, child) for parent, child in itertools.pairwise(tasks)]


def gap_of(parent: dict, child: dict) -> Gap:
    """Code's end to completed (ending), to the child's creation (controller), start (queue), code (start)."""
    ended, began = returned(parent, "ended"), returned(child, "began")
    completed, created, started = (
        moment(parent, "completed"),
        moment(child, "created"),
        moment(child, "started"),
    )
    return Gap(began - ended, completed - ended, created - completed, started - created, began - started)


def returned(task: dict, name: str) -> float:
    return float(task["hyperparams"]["return"][name]["value"])


def moment(task: dict, name: str) -> float:
    return datetime.fromisoformat(task[name]).timestamp()


if __name__ == "__main__":
    main()
