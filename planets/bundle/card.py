"""The model card of a bundle: intended use, data, scores and limits of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from planets.archive import SPLITS
from planets.bundle.manifest import BundleInfo
from planets.labels import WEATHER
from planets.metrics.significance import Comparison, format_p

CARD = "README.md"
"""File name of the card in a bundle's folder, where model hubs look for it."""

METRICS = {
    "f2": "mean F2 per chip, the score of the Kaggle competition",
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
    parts = (_heading(info, metrics), _use(info), _data(info), _scores(metrics), _decision(info, metrics))
    more = (_comparisons(info, metrics), _labels(metrics), _limits(info), _networks(info), _origin(info))
    text = "\n".join(line for part in (*parts, *more) for line in (*part, ""))
    return str(ModelCard(f"---\n{_head(info, metrics).to_yaml()}\n---\n\n{text.rstrip()}\n"))


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
    dataset, pretrained = _dataset(info), _licenses(info)
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
        tags=["multilabel", "satellite", "onnx", "timm"],
        metrics=["f2", "mean_average_precision"],
        model_name=info.name,
        eval_results=results,
    )


def _heading(info: BundleInfo, metrics: Mapping[str, Any]) -> Iterator[str]:
    test = metrics["test"]
    low, high = test["f2_interval"]
    names = ", ".join(f"`{member.architecture}`" for member in info.members)
    kind = "The weighted mean of several networks" if len(info.members) > 1 else "One network"
    yield f"# {info.name}"
    yield ""
    yield f"{kind} ({names}) that tags satellite chips with {len(info.labels)} labels."
    score = f"**{test['f2']:.4f}** (95 %: {low:.4f} to {high:.4f})"
    yield f"On {test['chips']:,} test chips its F2 per chip is {score}."
    if info.source == "sample":
        yield ""
        yield "**It was trained on synthetic pictures. Its scores say nothing about the Amazon.**"


def _use(info: BundleInfo) -> Iterator[str]:
    yield "## How to use it"
    yield ""
    yield "It needs the project's code, `numpy`, `pillow`, `onnxruntime`, `pydantic`, `typer` and `rich`:"
    yield ""
    yield from ("```sh", "python -m planets predict /folder/of/jpegs --out predictions.csv --bundle .", "```")
    yield ""
    yield "```python"
    yield "from planets import Predictor"
    yield ""
    yield 'for prediction in Predictor(".").predict(["chip.jpg"]):'
    yield "    print(prediction.name, prediction.tags, prediction.probabilities)"
    yield "```"
    yield ""
    yield f"Input: JPEG files at 3 m a pixel, decoded by `{info.decoder}`, resized by `{info.resizer}`."
    yield "Each `members/*.onnx` takes decoded chips, uint8 `(N, size, size, 3)`, and returns logits."
    yield "`bundle.json` holds the ensemble weights, the calibration and the thresholds that turn logits"
    yield "into tags."


def _data(info: BundleInfo) -> Iterator[str]:
    dataset = _dataset(info)
    yield "## Data"
    yield ""
    yield from _table(
        ("", ""),
        [
            ("source", dataset.text),
            ("content (SHA-256)", f"`{info.content_hash}`"),
            ("ClearML dataset", f"`{info.dataset_id}`"),
            *((f"{part} chips", f"{info.parts[part]:,}") for part in SPLITS if part in info.parts),
            ("seed of the split", str(info.split_seed)),
        ],
    )
    yield ""
    yield "The split is stratified by label set and keeps exact duplicates together. Validation selected"
    yield "the epoch, the refinements and the thresholds. Test was scored once."


def _scores(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield "## Scores"
    yield ""
    rows = [
        (title, *(f"{metrics[part][name]:.4f}" for part in ("valid", "test")))
        for name, title in METRICS.items()
    ]
    intervals = ["{:.4f} to {:.4f}".format(*metrics[part]["f2_interval"]) for part in ("valid", "test")]
    rows.insert(1, ("its 95 % interval (bootstrap)", *intervals))
    constant = metrics["constant"]
    rows.append((f"best constant prediction ({' '.join(constant['tags'])})", "", f"{constant['f2']:.4f}"))
    yield from _table(("", "validation", "test"), rows)
    yield ""
    yield "Validation scores are cross-fitted: choices are tuned on one half and scored on the other."


def _decision(info: BundleInfo, metrics: Mapping[str, Any]) -> Iterator[str]:
    decision = info.decision
    yield "## From scores to tags"
    yield ""
    yield f"- ensemble weights: {', '.join(_shares(info))}"
    yield f"- test-time augmentation (mean over the 8 dihedral views of a chip): {_yes(decision.tta)}"
    yield f"- calibration (Platt scaling of each label): {_yes(decision.calibration is not None)}"
    decoding = "per-label thresholds, in the table of labels" if decision.thresholds else "expected F2"
    yield f"- decoding by {decoding}"
    yield f"- weather rule (exactly one of {', '.join(WEATHER)}; cloudy alone): {_yes(decision.weather_rule)}"
    tried = [f"`{trial['name']}`" for trial in metrics["refinements"] if not trial["kept"]]
    if tried:
        yield f"- tried and not kept: {', '.join(tried)}"


def _comparisons(info: BundleInfo, metrics: Mapping[str, Any]) -> Iterator[str]:
    compared = metrics.get("comparisons")
    if not compared:
        return
    yield "## Comparison with the other models of its run"
    yield ""
    rows = []
    for name, parts in compared.items():
        gain = Comparison(**parts["test"])
        rows.append(
            (name, f"{gain.difference:+z.4f}", f"{gain.low:+z.4f} to {gain.high:+z.4f}", format_p(gain.p))
        )
    yield from _table((f"{info.name} better than", "F2 on test", "95 % interval", "p-value"), rows)


def _labels(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield "## Labels, on test"
    yield ""
    names = ("support", "precision", "recall", "f2", "ap", "threshold")
    rows = [
        (label, *(_number(row[name]) for name in names))
        for label, row in metrics["test"]["per_label"].items()
    ]
    yield from _table(("label", "chips", "precision", "recall", "F2", "average precision", "threshold"), rows)


def _limits(info: BundleInfo) -> Iterator[str]:
    yield "## Limits"
    yield ""
    if info.source == "sample":
        yield "- The pictures are synthetic: nothing was learnt from, or tested on, real imagery."
    else:
        yield "- The labels of the Amazon chips are crowd-sourced and noisy, which bounds every score."
        yield "- Neighboring chips were cut from the same scenes and lie on both sides of the split: expect"
        yield "  lower scores on unseen scenes. No score here measures by how much."
    yield "- Rare labels rest on few chips (see the table); their scores are uncertain."
    yield "- It knows one region, one sensor, one scale and JPEG files, and treats every picture as such"
    yield "  a chip."


def _networks(info: BundleInfo) -> Iterator[str]:
    yield "## Networks and licenses"
    yield ""
    rows = [
        (member.name, f"`{member.architecture}`", f"{member.image_size} px", member.license)
        for member in info.members
    ]
    yield from _table(("network", "architecture", "image", "license of the pretrained weights"), rows)
    yield ""
    yield "The project's code is under Apache-2.0. Redistribution of these weights must respect the licenses"
    yield "above and the terms of the dataset. `none` means trained from scratch."


def _origin(info: BundleInfo) -> Iterator[str]:
    yield "## Provenance"
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in info.libraries.items())
    yield f"Code `{info.code_version}`; {versions}."


def _shares(info: BundleInfo) -> list[str]:
    pairs = zip(info.members, info.decision.shares, strict=True)
    return [f"{member.name} {share:.2f}" for member, share in pairs]


def _licenses(info: BundleInfo) -> list[str]:
    return sorted({member.license for member in info.members} - {"none"})


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(header)
    yield f"| {' | '.join(names)} |"
    yield f"| {' | '.join('---' for _ in names)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
