"""The model card of a bundle: intended use, data, scores and limits of the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from planets.archive import SPLITS
from planets.bundle.manifest import BundleInfo
from planets.metrics.significance import Lead, format_p, smaller_equals

CARD = "README.md"
"""File name of the card in a bundle's folder, where model hubs look for it."""

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters["title_of"] = lambda label, labels: labels.title(label)
_TEMPLATES.globals |= {"signed": "{:+z.4f}".format, "format_p": format_p}

METRICS = {
    "f2": "mean F2 per chip",
    "f2_macro": "macro F2",
    "f2_micro": "micro F2",
    "map": "mean average precision",
}


def model_card(info: BundleInfo, metrics: Mapping[str, Any]) -> str:
    """Return the card as Markdown with YAML front matter, as model hubs read it; needs no network.

    Args:
        info: the content of `bundle.json`.
        metrics: the content of `metrics.json`.
    """
    leads = {name: Lead.read(document) for name, document in metrics.get("comparisons", {}).items()}
    names = {"weather_rule": ", ".join(f"{group.name}_rule" for group in info.label_set.groups)}
    text = _TEMPLATES.get_template("card.md.jinja").render(
        card_data=_head(info, metrics).to_yaml(),
        info=info,
        texts=info.label_set.card,
        dataset=_dataset(info),
        synthetic=info.source == "sample",
        splits=SPLITS,
        titles=METRICS,
        valid=metrics["valid"],
        test=metrics["test"],
        constant=metrics["constant"],
        decision=info.decision,
        shares=list(zip(info.members, info.decision.shares, strict=True)),
        rejected=[
            names.get(trial["name"], trial["name"]) for trial in metrics["refinements"] if not trial["kept"]
        ],
        comparisons=leads,
        smaller=smaller_equals(info.name, leads),
    )
    return str(ModelCard(text.strip() + "\n"))


class _Dataset(NamedTuple):
    """Dataset of a model: identifier and name for model hubs, text for people."""

    id: str
    name: str
    text: str


def _dataset(info: BundleInfo) -> _Dataset:
    """Describe the dataset that was used, from `BundleInfo.source` and the id of its registered version."""
    kind, _, slug = info.source.partition(":")
    match kind:
        case "sample":
            return _Dataset("sample", "synthetic sample", "the synthetic sample of this project")
        case "kaggle" if slug:
            link = f"the Kaggle dataset [{slug}](https://www.kaggle.com/datasets/{slug})"
            return _Dataset(slug, slug.rpartition("/")[2], link)
        case "kaggle":
            return _Dataset("kaggle", "Kaggle dataset", "a Kaggle dataset whose name was not recorded")
        case "local":
            return _Dataset("local", "local folder", "a local folder of chips and their label table")
    text = f"the ClearML dataset `{info.dataset_id}`, whose origin was not recorded"
    return _Dataset(f"clearml/{info.dataset_id}", "ClearML dataset", text)


def _head(info: BundleInfo, metrics: Mapping[str, Any]) -> ModelCardData:
    dataset, pretrained = _dataset(info), sorted({member.license for member in info.members} - {"none"})
    results = [
        EvalResult(
            task_type="image-classification",
            task_name="multilabel image classification",
            dataset_type=dataset.id,
            dataset_name=dataset.name,
            dataset_split="test",
            metric_type=name,
            metric_name=title,
            metric_value=round(metrics["test"][name], 6),
        )
        for name, title in METRICS.items()
    ]
    return ModelCardData(
        license="other" if pretrained else "apache-2.0",
        license_name=" and ".join(pretrained) or None,
        library_name="onnxruntime",
        pipeline_tag="image-classification",
        tags=["multilabel", *info.label_set.card.keywords, "onnx", "timm"],
        metrics=["f2", "mean_average_precision"],
        model_name=info.name,
        eval_results=results,
    )
