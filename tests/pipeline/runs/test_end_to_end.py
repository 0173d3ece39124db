"""The whole pipeline with real agents on the embedded server: a story in order, in one checkout."""

import json
import re

import pytest
import yaml

FIXED = ["ingest", "register", "split"]


@pytest.fixture(scope="module")
def checkout(trained):
    trained("up")
    return trained


@pytest.fixture(scope="module")
def models(checkout):
    return [entry["name"] for entry in yaml.safe_load(checkout.entries.read_text())]


@pytest.fixture(scope="module")
def fan(models):
    return [f"{stage}_{name}" for name in models for stage in ("train", "evaluate")]


def ran(checkout):
    """The steps of the last run that did not come from the cache."""
    states = checkout.states()
    assert set(states.values()) <= {"completed", "cached"}, states
    return {name for name, state in states.items() if state == "completed"}


def why(checkout):
    return {step["name"]: step["why"] for step in checkout.report()["steps"]}


def test_the_first_run_runs_everything_and_says_what_came_of_it(checkout, first_run, models, fan):
    report = first_run.report
    assert report["status"] == "completed"
    assert [step["name"] for step in report["steps"]] == [*FIXED, *fan, "ensemble", "select"]
    assert all(step["why"] == "first run of this step" for step in report["steps"])
    assert all(step["task_id"] and step["worker"] and step["queue"] == "cpu" for step in report["steps"])
    assert all(step["seconds"] > 0 and step["cached"] is False for step in report["steps"])
    assert [score["name"] for score in report["models"]] == [*models, "ensemble"]
    singles = [score for score in report["models"] if score["name"] != "ensemble"]
    # The ensemble is the best only if its lead over the best single network is significant.
    rivals = report["models"] if report["best"]["name"] == "ensemble" else singles
    best = max(rivals, key=lambda score: score["valid_f2"])
    assert report["best"] == best | {"model_id": report["best"]["model_id"]}
    for score in report["models"]:
        assert re.search(
            rf"{score['name']}.*{score['valid_f2']:.4f}.*{score['test_f2']:.4f}", first_run.printed
        )
    assert f"/experiments/{report['pipeline_id']}" in first_run.printed
    assert str(first_run.kept.output / "best") in first_run.printed


def test_a_run_and_a_prediction_send_nothing_off_the_machine(first_run):
    """Behind proxies: no request reached these, no name was looked up, no packet left."""
    assert first_run.outgoing == []


def test_the_best_is_compared_with_every_other_model(first_run):
    report = first_run.report
    others = [score for score in report["models"] if score["name"] != report["best"]["name"]]
    assert set(report["comparisons"]) == {score["name"] for score in others}
    for score in others:
        parts = report["comparisons"][score["name"]]
        for part in ("valid", "test"):
            compared = parts[part]
            gap = report["best"][f"{part}_f2"] - score[f"{part}_f2"]
            assert compared["difference"] == pytest.approx(gap, abs=1e-9)
            assert compared["low"] <= compared["difference"] <= compared["high"]
            assert 0 < compared["p"] <= 1
        shown = re.escape(f"{parts['valid']['difference']:+z.4f} (")
        assert re.search(rf"{score['name']}.*{shown}", first_run.printed)


def test_the_bundle_is_whole(checkout, models):
    best = checkout.output / "best"
    bundle = json.loads((best / "bundle.json").read_text())
    metrics = json.loads((best / "metrics.json").read_text())
    names = [member["name"] for member in bundle["members"]]
    assert set(names) <= set(models)
    for name in names:
        assert (best / "members" / f"{name}.safetensors").stat().st_size > 10_000
        assert (best / "members" / f"{name}.onnx").stat().st_size > 10_000
    assert bundle["source"] == "sample"
    assert sum(bundle["parts"].values()) == 120
    card = (best / "README.md").read_text()
    assert f"**{metrics['test']['f2']:.4f}**" in card
    assert "synthetic pictures" in card
    assert "## Comparison with the other models of its run" in card
    assert sum(bundle["decision"]["shares"]) == pytest.approx(1)
    assert metrics["comparisons"] == checkout.report()["comparisons"]
    assert list((best / "figures").glob("*.png"))
    assert bundle["name"] == checkout.report()["best"]["name"]
    assert metrics["test"]["f2"] == pytest.approx(checkout.report()["best"]["test_f2"], abs=1e-12)


def test_the_bundle_can_be_used(checkout):
    """By the command, on a folder of the sample's own chips."""
    chips = next((checkout.stack / "cache" / "sources").rglob("train-jpg"))
    printed = checkout("predict", str(chips), "--out", "p.csv")
    assert re.search(r"^120 predictions by \w+ in p\.csv$", printed, re.MULTILINE)


SHOWN = """
import json, sys
from pipeline.connection import Api
import requests
api = Api()
run, evaluation = sys.argv[1:]
images = api.call("events.debug_images", metrics=[{"task": evaluation}], iters=1)["metrics"][0]["iterations"]
args = api.call("tasks.get_all", id=[run], search_hidden=True)["tasks"][0]["hyperparams"]["Args"]
urls = [event["url"] for iteration in images for event in iteration["events"]]
headers = {"Authorization": "Bearer " + api._session.token}
found = [requests.get(url, headers=headers, timeout=10).status_code for url in urls]
print(json.dumps({"images": found, "described": all(item.get("description") for item in args.values())}))
"""


def test_figures_and_descriptions_can_be_seen_in_clearml(checkout, models):
    report = checkout.report()
    evaluation = next(step["task_id"] for step in report["steps"] if step["name"] == f"evaluate_{models[0]}")
    shown = checkout.python(SHOWN, report["pipeline_id"], evaluation)
    assert shown == {"images": [200] * 6, "described": True}
    training = next(step["task_id"] for step in report["steps"] if step["name"] == f"train_{models[0]}")
    assert checkout.python(SHOWN, report["pipeline_id"], training)["images"] == [200] * 2


PROGRESS = """
import json, sys
from pipeline.connection import Api
from pipeline.runs.follow import progress
from pipeline.runs.state import read_run
print(json.dumps({step.name: progress(step) for step in read_run(Api(), sys.argv[1]).steps}))
"""


def test_a_training_says_how_far_it_is(checkout, models):
    progress = checkout.python(PROGRESS, checkout.report()["pipeline_id"])
    for name, text in progress.items():
        pattern = r"epoch 1/1  F2 0\.\d{3}  lr \d+e-\d+  \d+ chips/s" if name.startswith("train") else ""
        assert re.fullmatch(pattern, text), (name, text)


TOGETHER = """
import json, pathlib, sys, zipfile
from clearml import Model, Task
from planets.bundle.bundle import Bundle
ensemble, select = (Task.get_task(task_id=each) for each in sys.argv[1:])
model = Model(ensemble.get_parameters()["return/model_id"])
folder = pathlib.Path(sys.argv[1])
zipfile.ZipFile(model.get_weights(raise_on_error=True)).extractall(folder)
bundle = Bundle.load(folder)
print(json.dumps({
    "name": bundle.info.name,
    "scores": bundle.info.scores,
    "members": [member.name for member in bundle.info.members],
    "logged": "".join(select.get_reported_console_output(20)),
    "published": Model(select.get_parameters()["return/model_id"]).published,
}))
"""


def test_the_ensemble_is_registered_as_one_model_that_can_be_loaded(checkout, models):
    report = checkout.report()
    ids = {step["name"]: step["task_id"] for step in report["steps"]}
    found = checkout.python(TOGETHER, ids["ensemble"], ids["select"])
    row = next(score for score in report["models"] if score["name"] == "ensemble")
    assert found["name"] == "ensemble"
    assert found["scores"]["test_f2"] == pytest.approx(row["test_f2"])
    assert set(found["members"]) <= set(models)
    assert found["published"] is True
    assert f"{report['best']['name']} better than" in found["logged"]


def test_a_rerun_is_cached_whatever_the_readme_says(checkout):
    (checkout.folder / "README.md").write_text("edited")
    checkout("run")
    assert ran(checkout) == set()
    assert all(step["cached"] for step in checkout.report()["steps"])


def test_a_plan_says_what_would_run_and_why(checkout, models, fan):
    planned = planned_by(checkout("run", "--plan"))
    assert list(planned) == [*FIXED, *fan, "ensemble", "select"]
    assert {state for state, _ in planned.values()} == {"cached"}
    before = len(list(checkout.output.iterdir()))
    planned = planned_by(checkout("run", "--plan", "--epochs", "2", "--refresh", "split"))
    assert planned["split"] == ("run", "refresh was asked for")
    assert planned[f"train_{models[0]}"] == ("run", "after split")
    planned = planned_by(checkout("run", "--plan", "--epochs", "2"))
    assert planned[f"train_{models[0]}"] == ("run", "epochs 1 -> 2")
    assert planned[f"evaluate_{models[0]}"] == ("run", f"after train_{models[0]}")
    assert len(list(checkout.output.iterdir())) == before


def planned_by(printed):
    """Return what each step would do and why, by its name."""
    rows = re.findall(r"^│ (\w+) +│ (\w+) +│ (.*?) *│$", printed, re.MULTILINE)
    return {name: (state, why) for name, state, why in rows}


@pytest.mark.slow
def test_without_an_ensemble_only_select_runs_again(checkout, models, fan):
    checkout("run", sets=["evaluation.ensemble=false"])
    assert list(checkout.states()) == [*FIXED, *fan, "select"]
    assert ran(checkout) == {"select"}
    assert [score["name"] for score in checkout.report()["models"]] == models


@pytest.fixture(scope="module")
def edited(checkout, models):
    """A run after three changes: refreshed data steps, edited thresholds, other epochs of one entry.

    Returns the steps that ran, and why each step did or did not.
    """
    file = checkout.folder / "planets" / "decision" / "thresholds.py"
    before = file.read_text()
    file.write_text(before + "\n# edited\n")
    entries = yaml.safe_load(checkout.entries.read_text())
    entries[1]["training"] = {"epochs": 2}
    checkout.entries.write_text(yaml.safe_dump(entries))
    checkout("down")  # agents import the library again for every step; this shows that a new stack remembers
    checkout("run", "--refresh", "ingest,register,split")
    file.write_text(before)
    return ran(checkout), why(checkout)


@pytest.mark.slow
def test_edited_thresholds_run_evaluate_and_select_again_but_no_training(edited, models):
    steps, reasons = edited
    assert {f"evaluate_{models[0]}", "select"} <= steps
    assert f"train_{models[0]}" not in steps
    assert "planets/decision/thresholds.py changed" in reasons[f"evaluate_{models[0]}"]


@pytest.mark.slow
def test_other_epochs_of_one_entry_train_that_one_again(edited, models):
    steps, reasons = edited
    assert {step for step in steps if step.startswith("train_")} == {f"train_{models[1]}"}
    assert reasons[f"train_{models[1]}"] == "epochs 1 -> 2"


@pytest.mark.slow
def test_data_steps_that_ran_again_with_the_same_result_leave_their_children_cached(edited, models):
    steps, reasons = edited
    assert set(FIXED) <= steps
    assert f"train_{models[0]}" not in steps
    assert reasons["split"] == "refresh was asked for"


@pytest.mark.slow
def test_status_tells_the_last_run_and_why(checkout, edited):
    printed = checkout("status")
    assert "refresh was asked for" in printed
    assert "server" in printed


LAST_RUN = """
import json
from pipeline.connection import Api
from pipeline.runs.state import last_run, states
api = Api()
*_, state = states(api, last_run(api, "planets", "chips"))
train = next(step for step in state.steps if step.stage == "train")
task = api.call("tasks.get_all", id=[train.task_id], search_hidden=True)["tasks"][0]
print(json.dumps({
    "status": state.status,
    "steps": {step.name: step.status for step in state.steps},
    "epochs": json.loads(task["hyperparams"]["kwargs"]["training"]["value"])["epochs"],
    "last_iteration": task["last_iteration"],
}))
"""


@pytest.mark.slow
def test_a_person_starts_a_new_run_with_other_values_from_the_page(checkout, models, browser):
    """A finished run is opened in a browser, `models` and `epochs` are changed, agents do the rest."""
    link = re.search(r"^page +(\S+)", checkout("up"), re.MULTILINE)
    page = browser.new_page()
    page.goto(link[1])
    page.get_by_role("link", name=re.compile("^chips")).last.click()
    page.get_by_role("row", name=re.compile("^ensemble")).first.wait_for()
    page.get_by_role("link", name="New run").click()
    page.get_by_label("models", exact=True).fill(models[0])
    page.get_by_label("epochs", exact=True).fill("3")
    page.get_by_role("button", name="Start run").click()
    page.wait_for_url("**/pipelines/**")
    run = checkout.python(LAST_RUN)
    assert run["status"] == "completed"
    fan = [f"train_{models[0]}", f"evaluate_{models[0]}"]
    assert list(run["steps"]) == [*FIXED, *fan, "select"], "the fan-out follows the edited models"
    assert run["epochs"] == 3
    assert run["last_iteration"] == 3
    assert {name for name, status in run["steps"].items() if status == "cached"} == set(FIXED)
    page.reload()
    page.get_by_role("row", name=re.compile(models[0])).first.wait_for()
    page.close()
