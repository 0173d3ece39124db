"""Runs that notify, are repeated from a step on, resumed, read, and started by a new dataset version."""

import json
import re
import shutil
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread

import psutil
import pytest
import yaml

pytestmark = pytest.mark.slow

TOKEN = "T0KEN/B0T"
PATIENCE = 900


@pytest.fixture(scope="module")
def receiver():
    """A webhook on loopback: `received` has every document; it refuses the first attempt of each."""
    received, refused = Queue(), set()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"]))
            first = text not in refused
            refused.add(text)
            if not first:
                received.put(json.loads(text) | {"path": self.path})
            self.send_response(503 if first else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.received = received
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def checkout(trained):
    """Its chips are split again, so no model has been published for these chips."""
    profile = trained.folder / "configs" / "profiles" / "sample.yaml"
    profile.write_text(profile.read_text() + "split: {seed: 5}\n")
    return trained


@pytest.fixture(scope="module")
def names(checkout):
    return [each["name"] for each in yaml.safe_load(checkout.entries.read_text())]


@pytest.fixture(scope="module")
def broken(checkout, receiver, names):
    """A first run whose second model lacks its weights: it fails, and one model is published."""
    local = f"PLANETS_WEBHOOK=http://127.0.0.1:{receiver.server_port}/{TOKEN}\n"
    (checkout.folder / ".env.local").write_text(local)
    entries = yaml.safe_load(checkout.entries.read_text())
    entries[1] |= {"pretrained": True, "weights": str(checkout.folder / "weights.safetensors")}
    checkout.entries.write_text(yaml.safe_dump(entries))
    printed = checkout("run", code=1)
    return checkout.report() | {"printed": printed}


def ran(checkout):
    return {step["name"] for step in checkout.report()["steps"] if not step["cached"]}


def test_a_webhook_receives_the_new_best_and_the_failure(receiver, broken, names):
    best, failed = (receiver.received.get(timeout=PATIENCE) for _ in range(2))
    assert best["path"] == failed["path"] == f"/{TOKEN}"
    assert (best["event"], failed["event"]) == ("new_best", "run_failed")
    assert best["run_id"] == failed["run_id"] == broken["pipeline_id"]
    assert best["best"]["name"] == names[0]
    assert f"new best {names[0]}, test F2" in best["text"]
    assert f"train_{names[1]} failed" in failed["text"]
    assert broken["pipeline_id"] in failed["url"]
    assert broken["publication"]["published"] is True
    assert "no model was published for these chips before" in broken["printed"]


def test_logs_of_a_failed_step_say_so_by_the_exit_code(checkout, broken, names):
    *_, last = checkout("logs", f"train_{names[1]}", code=1).splitlines()
    assert re.match(rf"train_{names[1]} failed: WeightsError: .*weights.safetensors", last)
    assert "run failed: " in checkout("logs", "controller", code=1)
    own, all_lines = (checkout("logs", f"train_{names[0]}", *words) for words in ((), ("--all",)))
    assert own.startswith(f"{names[0]}  epoch 1/1 ")
    assert "agent.worker_id = " in all_lines
    assert set(own.splitlines()) < set(all_lines.splitlines())


SEARCHED = """
import json, sys
from pipeline.connection import Api
run, token = sys.argv[1:]
api = Api()
task = api.call("tasks.get_all", id=[run], search_hidden=True)["tasks"]
log = api.call("events.get_task_log", task=run, batch_size=1000)["events"]
print(json.dumps([token in json.dumps(task), token in json.dumps(log), "notified 127" in json.dumps(log)]))
"""


def test_the_webhooks_token_is_in_no_task_and_in_no_log(checkout, broken):
    assert checkout.python(SEARCHED, broken["pipeline_id"], TOKEN) == [False, False, True]


def test_a_webhook_cannot_travel_with_a_run(checkout):
    printed = checkout("run", "--set", "notify.webhook=http://127.0.0.1:1/x", code=1)
    assert "command line: notify.webhook: it is not stored with a run" in printed


WEIGHTS = """
import json, sys, timm
from safetensors.torch import save_file
save_file(timm.create_model("mobilenetv3_small_050", num_classes=1000).state_dict(), sys.argv[1])
print(json.dumps(True))
"""


@pytest.fixture(scope="module")
def resumed(checkout, broken):
    checkout.python(WEIGHTS, str(checkout.folder / "weights.safetensors"))
    printed = checkout("resume")
    return checkout.report() | {"printed": printed}


def test_resume_runs_only_what_failed(broken, resumed, names):
    assert resumed["pipeline_id"] == broken["pipeline_id"]
    assert resumed["status"] == "completed"
    before, after = ({step["name"]: step for step in run["steps"]} for run in (broken, resumed))
    again = {f"train_{names[1]}", f"evaluate_{names[1]}", "ensemble", "select"}
    assert {name for name in after if after[name]["task_id"] != before[name]["task_id"]} == again
    assert after[f"train_{names[1]}"]["why"] == "it failed when this run was tried before"
    assert after[f"train_{names[0]}"]["why"] == before[f"train_{names[0]}"]["why"]


def test_a_run_that_completed_is_not_resumed(checkout, resumed):
    printed = checkout("resume", resumed["pipeline_id"])
    assert "this run completed: there is nothing to resume" in printed
    assert "has no run 0" in checkout("resume", "0" * 32, code=1)


def test_from_a_step_on_everything_runs_again_and_a_worse_model_is_not_published(
    checkout, receiver, resumed, names
):
    """The published model stays in `output/best`; the run's own goes to `output/runs`."""
    published = (checkout.output / "best" / "bundle.json").read_bytes()
    while not receiver.received.empty():
        receiver.received.get()
    # With another seed, and a tenth of the learning rate, the training differs and is worse.
    other = ("--seed", "5", "--learning-rate", "3e-4")
    printed = checkout("run", "--models", names[0], "--from", f"train_{names[0]}", *other)
    assert ran(checkout) == {f"train_{names[0]}", f"evaluate_{names[0]}", "select"}
    publication = checkout.report()["publication"]
    assert publication["published"] is False
    assert publication["compared"]["difference"] <= 0 or publication["compared"]["p"] >= 0.1
    assert publication["rival_run_id"][:8] in printed
    assert "not published: the published best remains" in printed
    assert (checkout.output / "best" / "bundle.json").read_bytes() == published
    own = checkout.output / "runs" / checkout.report()["pipeline_id"][:8]
    assert f"bundle in {own}" in printed
    assert (own / "bundle.json").read_bytes() != published
    shutil.rmtree(checkout.output)
    assert f"bundle in {own}" in checkout("fetch", own.name)
    assert (checkout.output / "best" / "bundle.json").read_bytes() == published
    assert receiver.received.empty()
    assert "no step splitt; the steps are: ingest" in checkout("run", "--from", "splitt", code=1)


def test_a_run_whose_controller_was_killed_is_resumed_and_followed(checkout, names):
    """What was left of the run is stopped, then resumed; another split starts another line of models."""
    # Epochs enough for the training to be at work still when the killed controller has been noticed.
    words = ("run", "--models", names[0], "--epochs", "300", "--set", "split.seed=7")
    run = checkout.start(*words)
    next(line for line in run.stdout if "train_" in line and " running " in line)
    controller_of(checkout).kill()
    printed, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1, printed
    run = checkout.start("resume")
    line = next(line for line in run.stdout if "train_" in line and " running " in line)
    step = line.split()[0]
    followed = checkout("logs", step, "-f")
    printed, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, printed
    report = checkout.report()
    train = next(each for each in report["steps"] if each["name"] == step)
    # A step that is stopped may fail at its next call, before its agent ends it.
    assert train["why"] in {f"it {end} when this run was tried before" for end in ("was stopped", "failed")}
    assert report["publication"]["published"] is True
    assert "for these chips before" in report["publication"]["why"]
    assert followed.splitlines() == checkout("logs", step).splitlines()
    assert len(followed.splitlines()) > 5


def controller_of(checkout):
    """The process that runs the controller of the checkout's last run."""
    run = checkout.python(
        "import json; from pipeline.connection import Api; from pipeline.runs.state import last_run\n"
        "print(json.dumps(last_run(Api(), 'planets', 'chips')))"
    )
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if process.environ().get("CLEARML_TASK_ID") == run and "run_planets_pipeline.py" in words:
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    raise AssertionError("no controller runs")


VERSION = """
import json, sys
from clearml import Dataset
folder, name, project = sys.argv[1:]
dataset = Dataset.create(dataset_name=name, dataset_project=project)
dataset.add_files(folder)
dataset.upload(show_progress=False)
dataset.finalize()
print(json.dumps(dataset.id))
"""

FOLLOWED = """
import json, sys
from pipeline.connection import Api
from pipeline.runs.state import read_run, states
api = Api()
*_, state = states(api, sys.argv[1])
args = api.call("tasks.get_all", id=[sys.argv[1]], search_hidden=True)["tasks"][0]["hyperparams"]["Args"]
split = next(step for step in state.steps if step.name == "split")
used = api.call("tasks.get_all", id=[split.task_id], search_hidden=True)["tasks"][0]["hyperparams"]["kwargs"]
print(json.dumps({"good": state.good, "dataset_id": args["dataset_id"]["value"],
                  "trained_on": used["dataset_id"]["value"], "models": args["models"]["value"]}))
"""


@pytest.fixture(scope="module")
def version(checkout, tmp_path_factory):
    """A folder of chips of somebody's own."""
    folder = tmp_path_factory.mktemp("version")
    checkout.python(
        "import json, sys; from pathlib import Path; from planets.synthetic.sample import make_sample\n"
        "make_sample(Path(sys.argv[1]) / 'chips', chips=90, seed=11); print(json.dumps(True))",
        str(folder),
    )
    return folder / "chips"


def test_a_new_dataset_version_starts_a_run_that_trains_on_it(checkout, names, version):
    service = checkout.start("retrain", "--models", names[0], "--every", "0.02")
    next(line for line in service.stdout if "Sleeping until" in line)
    other = checkout.python(VERSION, str(version), "amazon-chips", "elsewhere")
    made = checkout.python(VERSION, str(version), "amazon-chips", "planets")
    lines = []
    for line in service.stdout:
        lines.append(line)
        assert "Exception occurred" not in line, line
        if "is enqueued" in line:
            break
    service.send_signal(signal.SIGINT)
    printed, _ = service.communicate(timeout=PATIENCE)
    said = "".join(lines)
    assert service.returncode == 130, said + printed
    run = re.search(rf"new version {made} of amazon-chips: run (\w+) is enqueued", said)
    assert run, said
    assert f"run {other}" not in said
    followed = checkout.python(FOLLOWED, run[1])
    assert followed == {"good": True, "dataset_id": made, "trained_on": made, "models": names[0]}


def test_a_version_or_a_step_that_is_not_there_is_told_at_once(checkout):
    assert "has no dataset 123" in checkout("run", "--dataset-id", "123", code=1)
    assert "has no step 'train'; its steps are: controller, ingest" in checkout("logs", "train", code=1)
