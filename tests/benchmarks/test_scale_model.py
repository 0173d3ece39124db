"""The model of benchmarks/scale_model.py: it gives back what was measured, and grows the right way."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "scale_model.py"
spec = importlib.util.spec_from_file_location("scale_model", FILE)
model = sys.modules["scale_model"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)

PLAN = model.Plan()
LAPTOP = replace(PLAN, workers=2, workers_per_host=2, cores=2, storage=1e6)


@pytest.mark.parametrize(
    ("chips", "measured"),
    [
        (4_000, {"ingest": 9.3, "register": 2.6, "split": 7.2, "select": 2.1}),
        (40_479, {"ingest": 59.9, "register": 5.6, "split": 15.7, "select": 2.6}),
    ],
)
def test_the_measured_machine_is_given_back(chips, measured):
    stages = model.simulate(replace(LAPTOP, chips=chips, models=1)).stages
    found = {name: stages[name].hours * 3600 for name in measured}
    assert found == pytest.approx(measured, rel=0.02)


def test_the_run_of_the_readme_is_predicted():
    """Three models of 16 epochs, 74 s on average, on two workers of two cores: about four minutes."""
    rate = 16 * 2_100 / (74 - model.RATES.start)
    sample = replace(LAPTOP, chips=3_000, models=3, epochs=16, image_size=64, gpu=rate)
    assert model.simulate(sample).seconds == pytest.approx(240, rel=0.2)


@pytest.mark.parametrize(
    ("change", "longer"),
    [
        ({"chips": 20_000_000}, True),
        ({"models": 120}, True),
        ({"epochs": 40}, True),
        ({"workers": 20}, True),
        ({"gpu": 4_000.0}, False),
        ({"storage": 12_500.0}, False),
        ({"cores": 128}, False),
    ],
)
def test_more_work_takes_longer_and_more_machines_do_not(change, longer):
    then, now = model.simulate(PLAN).seconds, model.simulate(replace(PLAN, **change)).seconds
    assert now > then if longer else now < then


def test_a_disk_too_small_for_the_store_limits_a_fast_gpu():
    fast = replace(PLAN, gpu=20_000.0)
    assert replace(fast, disk=1_000.0).streams
    assert model.simulate(replace(fast, disk=1_000.0)).seconds > model.simulate(fast).seconds


def test_workers_without_a_model_do_not_help():
    assert model.simulate(replace(PLAN, workers=200)).gpu_hours >= 0.99 * model.simulate(PLAN).gpu_hours
    assert model.simulate(replace(PLAN, workers=200)).stages["train"].tasks == PLAN.models


def test_every_training_has_one_evaluation_after_it():
    stages = model.simulate(replace(PLAN, models=7, workers=3)).stages
    assert stages["train"].tasks == stages["evaluate"].tasks == 7
    assert stages["train"].ended < stages["select"].began
    assert stages["evaluate"].ended < stages["select"].began


def test_the_limits_grow_with_what_they_limit():
    small, large = (
        {limit.name: limit.load for limit in model.limits(replace(PLAN, chips=chips, workers=workers))}
        for chips, workers in ((10**6, 60), (10**7, 100))
    )
    grown = [name for name in large if large[name] > small[name]]
    assert set(large) - set(grown) == {"GPU workers with a training"}
