"""Select on a real server: the best candidate, its comparisons, and when it replaces the published model."""

import pytest
from support.sdk_process import error_of, fail, run_stage, running_task

from planets.metrics.significance import Lead, smaller_equals

CHIPS = 60


def evaluation(folder, name, valid_f2, test_f2, arrays=True, failed=False, size=10):
    """A completed evaluation as `evaluate_model` leaves it; the F2 of its chips are near its scores."""
    import numpy as np

    from steps.clearml.artifacts import store_arrays
    from steps.clearml.models import register_model

    weights = folder / f"{name}.bin"
    weights.write_bytes(name.encode())
    with running_task(f"evaluate_{name}") as task:
        model_id = register_model(name, weights, {}, ("clear",))
        returned = {"name": name, "valid_f2": valid_f2, "test_f2": test_f2, "model_id": model_id}
        inputs = {"dataset_id": "d1", "split_id": "s1"}
        for section, values in (("return", returned), ("kwargs", inputs)):
            for key, value in values.items():
                task.set_parameter(f"{section}/{key}", value)
        if arrays:
            # Of its own for each model, so that a small difference is not significant.
            noise = np.random.default_rng(len(name)).normal(0, 0.01, CHIPS)
            chips = {"valid_f2": valid_f2 + noise, "test_f2": test_f2 + noise[::-1]}
            store_arrays("per_chip", chips | {"weights": np.array(size)})
    if failed:
        fail(task)
    return task.id


def select(candidates, champion="", when="better"):
    import json

    from steps.select import select_best

    words = " ".join(f"{name}={task_id}" for name, task_id in candidates.items())
    found = run_stage(select_best, candidates=words, champion=champion, when=when, seed=1)
    name, valid_f2, test_f2, model_id, evaluate_id, comparisons, publication = found
    return {
        "name": name,
        "scores": [valid_f2, test_f2],
        "model_id": model_id,
        "evaluate_id": evaluate_id,
        "comparisons": json.loads(comparisons),
        "publication": json.loads(publication),
        "model": described(model_id),
    }


def described(model_id):
    from clearml import Model

    model = Model(model_id)
    metadata = {name: each["value"] for name, each in (model.get_all_metadata() or {}).items()}
    return {"published": bool(model.published), "metadata": metadata}


def selections(folder):
    """One selection for each rule of publication."""
    from pathlib import Path

    folder = Path(folder)
    good = evaluation(folder, "good", 0.8, 0.7)
    weak = evaluation(folder, "weak", 0.6, 0.5)
    twin = evaluation(folder, "twin", 0.8, 0.7)
    bare = evaluation(folder, "bare", 0.9, 0.9, arrays=False)
    broken = evaluation(folder, "broken", 0.99, 0.99, failed=True)
    facts = {"ids": {"good": good, "weak": weak}}
    facts["first"] = select({"weak": weak, "good": good, "broken": broken})
    facts["same"] = select({"good": good}, champion=good)
    facts["lower"] = select({"weak": weak}, champion=good, when="higher")
    facts["equal"] = select({"twin": twin}, champion=good)
    facts["always"] = select({"weak": weak}, champion=good, when="always")
    facts["higher"] = select({"good": good}, champion=weak, when="better")
    facts["incomparable"] = select({"good": good}, champion=bare)
    facts["ties"] = select({"ensemble": evaluation(folder, "ensemble", 0.8, 0.7), "twin": twin})["name"]
    small = evaluation(folder, "small", 0.7999, 0.9, size=5)
    facts["smaller"] = select({"good": good, "small": small, "weak": weak})
    facts["on test alone"] = select({"small": small}, champion=good)
    mixed = {"ensemble": evaluation(folder, "ensemble", 0.8001, 0.99), "good": good}
    facts["noise"] = select(mixed)
    facts["ahead"] = select(mixed | {"ensemble": evaluation(folder, "ensemble", 0.85, 0.6)})
    facts["none"] = error_of(select, {"broken": broken})
    return facts


@pytest.fixture(scope="module")
def facts(call, tmp_path_factory):
    return call(selections, str(tmp_path_factory.mktemp("weights")))


def test_the_highest_valid_f2_of_the_completed_evaluations_is_best(facts):
    first = facts["first"]
    assert first["name"] == "good"
    assert first["scores"] == [0.8, 0.7]
    assert first["evaluate_id"] == facts["ids"]["good"]
    assert set(first["comparisons"]) == {"weak"}
    for part in ("valid", "test"):
        assert first["comparisons"]["weak"][part]["difference"] == pytest.approx(0.2, abs=0.01)


def test_of_equal_scores_a_single_model_is_preferred_to_the_ensemble(facts):
    assert facts["ties"] == "twin"


def test_an_ensemble_wins_by_a_significant_lead_on_validation_alone(facts):
    assert facts["noise"]["name"] == "good"
    said = "; the ensemble is not significantly better than good on validation: +0.00"
    assert said in facts["noise"]["publication"]["why"]
    assert facts["ahead"]["name"] == "ensemble"
    assert "; the ensemble" not in facts["ahead"]["publication"]["why"]


def test_smaller_networks_that_the_best_does_not_beat_are_named(facts):
    chosen = facts["smaller"]
    assert chosen["name"] == "good"
    assert {name: lead["smaller"] for name, lead in chosen["comparisons"].items()} == {
        "small": True,
        "weak": False,
    }
    leads = {name: Lead.read(document) for name, document in chosen["comparisons"].items()}
    said = "good is not significantly better on validation than a smaller network: small"
    assert smaller_equals("good", leads) == said


def test_a_lead_on_test_publishes_nothing(facts):
    publication = facts["on test alone"]["publication"]
    assert publication["on_test"]["difference"] == pytest.approx(0.2, abs=0.01)
    assert publication["published"] is False
    assert "on test, which decides nothing, +0.1987" in publication["why"]


def test_the_first_model_of_its_chips_is_published_with_its_scores_and_origin(facts):
    first = facts["first"]
    assert first["publication"]["published"] is True
    assert first["model"]["published"] is True
    metadata = first["model"]["metadata"]
    assert (float(metadata["valid_f2"]), float(metadata["test_f2"])) == (0.8, 0.7)
    assert (metadata["dataset_id"], metadata["split_id"]) == ("d1", "s1")
    assert metadata["evaluate_id"] == facts["ids"]["good"]


def test_the_published_best_is_not_published_again(facts):
    assert facts["same"]["publication"]["published"] is False


@pytest.mark.parametrize(
    ("case", "published"), [("lower", False), ("equal", False), ("always", True), ("higher", True)]
)
def test_the_rule_decides_whether_the_published_model_is_replaced(facts, case, published):
    publication = facts[case]["publication"]
    assert publication["published"] is published
    assert set(publication["compared"]) >= {"difference", "low", "high", "p"}


def test_a_lower_model_stays_unpublished(facts):
    assert facts["lower"]["publication"]["compared"]["difference"] == pytest.approx(-0.2, abs=0.01)


def test_a_published_model_without_scores_per_chip_is_replaced(facts):
    publication = facts["incomparable"]["publication"]
    assert publication["published"] is True
    assert publication["compared"] is None
    assert "could not be compared" in publication["why"]


def test_without_a_completed_evaluation_there_is_nothing_to_select(facts):
    kind, message = facts["none"]
    assert kind == "NothingToSelect"
    assert "broken=" in message
