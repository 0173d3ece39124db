import json
import re
import socket
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from planets.bundle.bundle import Bundle
from planets.bundle.card import model_card
from planets.bundle.onnx_member import OnnxMember
from planets.labels import LabelSet
from planets.synthetic.labels import PLANETS

GAIN = {"difference": 0.0123, "low": 0.001, "high": 0.02, "p": 0.04}


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.load(bundle_folder, OnnxMember.load)


@pytest.fixture
def card(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> str:
    """Written without a network."""
    monkeypatch.setattr(socket, "socket", None)
    even = GAIN | {"difference": 0.0001, "p": 0.8}
    compared = {
        "other": {"valid": GAIN, "test": even},
        "small": {"valid": even, "test": GAIN, "smaller": True},
    }
    return model_card(bundle.info, {**bundle.metrics, "comparisons": compared})


def test_its_head_is_what_a_hub_reads(card: str, bundle: Bundle) -> None:
    data = ModelCard(card).data
    assert data.model_name == "tiny"
    results = {result.metric_type: result for result in data.eval_results}
    assert results["f2"].metric_value == pytest.approx(bundle.metrics["test"]["f2"], abs=1e-6)
    assert results["f2"].dataset_split == "test"
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "apache-2.0"
    assert head["pipeline_tag"] == "image-classification"


def test_states_the_essentials(card: str, bundle: Bundle) -> None:
    low, high = bundle.metrics["test"]["f2_interval"]
    for text in (
        f"**{bundle.metrics['test']['f2']:.4f}** (95 %: {low:.4f} to {high:.4f})",
        "| train chips | 48 |",
        "`abc`",
        "| other | +0.0123 | +0.0010 to +0.0200 | p = 0.04 | +0.0001 |",
        "| small | +0.0001 | +0.0010 to +0.0200 | p = 0.8 | +0.0123 |",
        "tiny is not significantly better on validation than a smaller network: small.",
        "| tiny | `test_resnet` | 32 px | none |",
        "Its scores say nothing about real ones",
        "that tags satellite chips of the Amazon basin with 17 labels",
        "JPEG files at 3 m a pixel",
        "- weather rule (exactly one of clear, partly cloudy, cloudy, haze; cloudy alone): ",
        "from planets import Predictor",
        "python -m planets predict",
    ):
        assert text in card
    for label, cut in zip(bundle.info.labels, bundle.info.decision.thresholds or (), strict=True):
        title = bundle.info.label_set.title(label)
        first = label if title == label else f"{title} (`{label}`)"
        row = next(line for line in card.splitlines() if line.startswith(f"| {first} |"))
        assert row.endswith(f"| {cut:.3f} |")


@pytest.mark.parametrize(
    ("source", "text", "dataset_type"),
    [
        ("sample", "the synthetic sample", "sample"),
        ("local", "a local folder", "local"),
        ("kaggle:someone/chips-v2", "https://www.kaggle.com/datasets/someone/chips-v2", "someone/chips-v2"),
        ("kaggle", "whose name was not recorded", "kaggle"),
        ("clearml", "the ClearML dataset `d1`", "clearml/d1"),
        ("unknown", "the ClearML dataset `d1`", "clearml/d1"),
    ],
)
def test_names_the_dataset_that_was_used(source: str, text: str, dataset_type: str, bundle: Bundle) -> None:
    card = model_card(bundle.info.model_copy(update={"source": source}), bundle.metrics)
    assert text in card
    assert ModelCard(card).data.eval_results[0].dataset_type == dataset_type
    assert "nikitarom" not in card
    assert ("crowd-sourced" in card) == (source != "sample")


def test_speaks_of_the_labels_of_its_bundle_alone(bundle: Bundle) -> None:
    labels = tuple(f"shape{number}" for number in range(17))
    label_set = LabelSet(labels=labels, titles={"shape3": "three corners"})
    decision = bundle.info.decision.model_copy(update={"labels": labels, "groups": ()})
    info = bundle.info.model_copy(update={"label_set": label_set, "decision": decision, "source": "local"})
    metrics = json.dumps(bundle.metrics)
    for old, new in zip(PLANETS.labels, labels, strict=True):
        metrics = metrics.replace(f'"{old}"', f'"{new}"')
    card = model_card(info, json.loads(metrics))
    assert "that tags pictures with 17 labels" in card
    assert "| three corners (`shape3`) |" in card
    for text in (*PLANETS.labels, "weather rule", "m a pixel", "Amazon", "satellite"):
        assert not re.search(rf"\b{text}\b", card), text


def test_real_data_is_no_sample(bundle: Bundle) -> None:
    info = bundle.info.model_copy(update={"source": "kaggle:nikitarom/planets-dataset"})
    card = model_card(info, bundle.metrics)
    assert "nikitarom/planets-dataset" in card
    assert "synthetic" not in card
    assert "Comparison with the other models" not in card
    assert ModelCard(card).data.eval_results[0].dataset_type == "nikitarom/planets-dataset"


def test_a_rule_that_was_not_kept_is_named_for_its_group(bundle: Bundle) -> None:
    group = PLANETS.groups[0].model_copy(update={"name": "sky"})
    label_set = PLANETS.model_copy(update={"groups": (group,)})
    trials = [{"name": name, "kept": False} for name in ("tta", "weather_rule")]
    info = bundle.info.model_copy(update={"label_set": label_set})
    card = model_card(info, {**bundle.metrics, "refinements": trials})
    assert "- tried and not kept: `tta`, `sky_rule`" in card
    assert "weather" not in card
