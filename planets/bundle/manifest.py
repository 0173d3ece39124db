"""The content of `bundle.json`: the parts of a bundle, and everything that its predictions depend on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from planets.bundle import BundleError
from planets.chips import Channels
from planets.chips.jpeg import DECODER, RESIZER
from planets.commands import command
from planets.decision.decision import Decision
from planets.labels import LabelSet
from planets.synthetic.labels import PLANETS

INFO, METRICS, MEMBERS, FIGURES = "bundle.json", "metrics.json", "members", "figures"

FORMAT: Literal[3] = 3
"""Version of the format, raised when the files of a bundle change."""


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MemberInfo(_Described):
    """One network of a bundle, and the preprocessing of its input."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$", description="entry of models.yaml")
    architecture: str = Field(description="timm's name of the network")
    image_size: int = Field(ge=1, description="pixels a side")
    mean: Channels = Field(description="per-channel mean of the normalization, in the scale of 0 to 1")
    std: Channels = Field(description="per-channel standard deviation, likewise")
    license: str = Field(
        description="license of the pretrained weights, or `none`",
        # Bundles written before the field was renamed.
        validation_alias=AliasChoices("license", "licence"),
    )
    weights_sha256: str = Field(description="digest of the weights' file")
    onnx_sha256: str = Field(description="digest of the same network as an ONNX graph")

    @property
    def file(self) -> str:
        """Path of its weights in the bundle's folder."""
        return f"{MEMBERS}/{self.name}.safetensors"

    @property
    def onnx_file(self) -> str:
        """Path of its ONNX graph in the bundle's folder."""
        return f"{MEMBERS}/{self.name}.onnx"


class BundleInfo(_Described):
    """The content of `bundle.json`."""

    format: Literal[3] = FORMAT
    name: str = Field(description="name of the model: an entry of models.yaml, or `ensemble`")
    members: tuple[MemberInfo, ...] = Field(min_length=1, description="the networks, one or more")
    label_set: LabelSet = Field(description="labels of the outputs, with their groups and texts")
    decision: Decision = Field(description="turns their scores into tags")
    decoder: str = Field(description="decoder of the JPEG files")
    resizer: str = Field(description="method of resizing to the image size")
    batch_size: int = Field(ge=1, description="chips per forward pass when the scores below were computed")
    dataset_id: str
    source: str = Field(
        description="origin of the dataset: sample, local, clearml, kaggle:owner/name or unknown"
    )
    content_hash: str = Field(description="hash of the dataset's content")
    parts: dict[str, int] = Field(description="number of chips of each split")
    split_seed: int
    code_version: str
    scores: dict[str, float] = Field(description="valid_f2, test_f2, valid_map and test_map of the report")
    libraries: dict[str, str] = Field(description="versions of the libraries that wrote it")

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the outputs, in their order."""
        return self.decision.labels

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, stored: Any) -> Any:
        """Read a bundle of an earlier version: before label sets, those of the planets dataset were meant.

        Raises:
            ValueError: its decision has a part that is no longer applied.
        """
        if not isinstance(stored, dict) or not isinstance(stored.get("decision"), dict):
            return stored
        decision = dict(stored["decision"])
        if decision.pop("calibration", None) or decision.get("thresholds", ()) is None:
            raise ValueError(
                "it calibrates the scores or decodes by expected F2, as earlier versions did; predict with "
                "the version that made it"
            )
        if "label_set" in stored:
            return stored | {"decision": decision}
        groups = PLANETS.groups if decision.pop("weather_rule", False) else ()
        label_set = PLANETS.model_dump() | {"labels": decision.get("labels")}
        return stored | {"decision": {"groups": groups} | decision, "label_set": label_set}

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if self.decision.labels != self.label_set.labels:
            raise ValueError("the decision needs the labels of `label_set`, in their order")
        return self

    @model_validator(mode="after")
    def _one_share_per_member(self) -> Self:
        if len(self.members) != len(self.decision.shares):
            raise ValueError(f"{len(self.members)} members need as many shares")
        if len({member.name for member in self.members}) != len(self.members):
            raise ValueError("members need distinct names")
        return self

    @classmethod
    def read(cls, folder: Path) -> BundleInfo:
        """Read the manifest of a bundle.

        Raises:
            BundleError: it is missing or damaged, has another format, or names another decoder or resizer.
        """
        file = folder / INFO
        stored = read_json(file)
        if isinstance(stored, dict) and stored.get("format") != FORMAT:
            raise BundleError(
                f"{file}: a bundle of format {stored.get('format')}, this version reads format {FORMAT}; "
                f"make it again with `{command('run')}`"
            )
        try:
            info = cls.model_validate(stored)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "top level"
            raise BundleError(f"{file}, {field}: {first['msg']}; make the bundle again") from error
        pairs = ("decoder", info.decoder, DECODER), ("resizer", info.resizer, RESIZER)
        for field, stored_value, current in pairs:
            if stored_value != current:
                raise BundleError(
                    f"{file}, {field}: it has {stored_value!r}, this version has {current!r}; train again"
                )
        return info


def require_bundle(folder: Path) -> None:
    """Check that a folder holds a bundle. Raises BundleError with the ways to get one."""
    if not (folder / INFO).exists():
        raise BundleError(f"no model in {folder}: make one with `{command('run')}`, or name another folder")


def read_member(folder: Path, name: str, digest: str) -> bytes:
    """Read the file `name` of a network in a bundle's folder.

    Raises:
        BundleError: it is missing, or its SHA-256 (hex) is not `digest`.
    """
    file = folder / name
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(f"{file} is not the file that {INFO} describes; copy the bundle again")
    return data


def read_json(file: Path) -> Any:
    """Read a JSON file of a bundle. Raises BundleError if it is missing or damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error
