"""The content of `bundle.json`: what a bundle is made of, and all that its predictions depend on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from planets.bundle import BundleError
from planets.chips.jpeg import DECODER, RESIZER
from planets.decision.decision import Decision

INFO, METRICS, MEMBERS, FIGURES = "bundle.json", "metrics.json", "members", "figures"

FORMAT: Literal[3] = 3
"""Number of the form that is written and read; it goes up when the files of a bundle change."""

Channels = tuple[float, float, float]


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MemberInfo(_Described):
    """One network of a bundle: what it is, and how pixels become its input."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$", description="entry of models.yaml")
    architecture: str = Field(description="timm's name of the network")
    image_size: int = Field(ge=1, description="pixels a side")
    mean: Channels = Field(description="by which pixels are normalised, in the scale of 0 to 1")
    std: Channels
    license: str = Field(
        description="license of the pretrained weights, or `none`",
        # Bundles written before the field was renamed.
        validation_alias=AliasChoices("license", "licence"),
    )
    weights_sha256: str
    onnx_sha256: str = Field(description="of the same network as an ONNX graph")

    @property
    def file(self) -> str:
        """Where its weights are in the bundle's folder."""
        return f"{MEMBERS}/{self.name}.safetensors"

    @property
    def onnx_file(self) -> str:
        """Where its graph is in the bundle's folder."""
        return f"{MEMBERS}/{self.name}.onnx"


class BundleInfo(_Described):
    """The content of `bundle.json`."""

    format: Literal[3] = FORMAT
    name: str = Field(description="the model: an entry of models.yaml, or `ensemble`")
    members: tuple[MemberInfo, ...] = Field(min_length=1, description="the networks, one or more")
    decision: Decision = Field(description="how their scores become tags")
    decoder: str = Field(description="how files become pixels")
    resizer: str = Field(description="how pixels get the image size")
    batch_size: int = Field(ge=1, description="chips at a time when the scores below were computed")
    dataset_id: str
    source: str = Field(description="where the dataset was registered from: sample, local, kaggle or unknown")
    content_hash: str = Field(description="of the dataset's content")
    parts: dict[str, int] = Field(description="chips of each part of the split")
    split_seed: int
    code_version: str
    scores: dict[str, float] = Field(
        description="what the report says in short: valid_f2, test_f2 and others"
    )
    libraries: dict[str, str] = Field(description="versions that it was made with")

    @property
    def labels(self) -> tuple[str, ...]:
        """What the outputs stand for, in their order."""
        return self.decision.labels

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
            BundleError: it is missing or broken, of another version, or the chips would be read in another
                way than the bundle was made with.
        """
        file = folder / INFO
        stored = read_json(file)
        if isinstance(stored, dict) and stored.get("format") != FORMAT:
            raise BundleError(
                f"{file}: a bundle of format {stored.get('format')}, this version reads format {FORMAT}; "
                "make it again with `make train.pipeline`"
            )
        try:
            info = cls.model_validate(stored)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise BundleError(f"{file}, {where}: {first['msg']}; make the bundle again") from error
        for what, made, here in (("decoder", info.decoder, DECODER), ("resizer", info.resizer, RESIZER)):
            if made != here:
                raise BundleError(
                    f"{file}, {what}: made with {made!r}, this version has {here!r}; train again"
                )
        return info


def read_member(folder: Path, name: str, digest: str) -> bytes:
    """Read the file `name` of a network in a bundle's folder.

    Raises:
        BundleError: it is missing, or is not the file whose SHA-256 (hex) is `digest`.
    """
    file = folder / name
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(f"{file} is not the file that {INFO} was written for; copy the bundle again")
    return data


def read_json(file: Path) -> Any:
    """Read a JSON file of a bundle. Raises BundleError when it is missing or broken."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error
