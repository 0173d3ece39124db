"""Pretrained weights in a file: where it is, its digest, and loading it with its own normalization."""

from __future__ import annotations

import hashlib
import json
import pickle
import platform
import sys
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, PositiveFloat
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.models import clean_state_dict, load_state_dict
from torch import Tensor, nn

from planets.chips import Channels
from planets.errors import PlanetsError
from planets.training.trained_model import HEADER

_CONFIG = "config.json"
"""Description of a weights file in the layout of Hugging Face, beside the file."""

_SUFFIXES = (".safetensors", ".pth", ".bin")

_UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    EOFError,
    AttributeError,
)
"""Exceptions of the readers for a file that is not weights; there is no common base."""

_MISFITS = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, AttributeError)
"""Exceptions of timm's converters for weights of another network; there is no common base."""


class _Description(BaseModel):
    """What a description of weights may state; other keys are ignored."""

    architecture: str | None = None
    mean: Channels | None = None
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None


class WeightsError(PlanetsError):
    """Pretrained weights are missing, unreadable or of another network; the message names the remedies."""


def find_file(place: Path, architecture: str) -> Path:
    """Return the weights file that `place` names: itself, or the one for an architecture in a folder.

    A folder has a file named for the architecture, with the tag or without, or the layout of Hugging Face:
    `config.json` beside `model.safetensors`, `pytorch_model.bin` or any one weights file.

    Raises:
        WeightsError: this machine has no such file, or the folder no such weights.
    """
    if place.is_file():
        return place
    if not place.is_dir():
        raise WeightsError(
            f"weights: this machine ({platform.node()}) has no file {place}; copy it to the same path on "
            "every machine that trains, or let `weights` name an https:// or s3:// address or a ClearML model"
        )
    stems = [architecture, architecture.partition(".")[0]]
    alone: list[Path] = []
    if (place / _CONFIG).is_file():
        stems += ["model", "pytorch_model"]
        alone = [file for file in place.iterdir() if file.suffix in _SUFFIXES]
    named = [place / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    if file := next((file for file in named if file.is_file()), None):
        return file
    if len(alone) == 1:
        return alone[0]
    names = ", ".join(dict.fromkeys(file.name for file in named))
    raise WeightsError(f"weights: the folder {place} has none of {names}; put one there")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def require_digest(file: Path, expected: str, source: str = "") -> None:
    """Check the SHA-256 of a file unless `expected` is empty.

    Raises:
        WeightsError: the digest differs; the message names `source`, or else the file.
    """
    if expected and (digest := sha256_of(file)) != expected:
        raise WeightsError(
            f"weights: {source or file} has the SHA-256 {digest}, not {expected} as `weights_sha256` says; "
            "get the right file, or correct the digest if this file is the right one"
        )


def load_weights(network: nn.Module, file: Path, architecture: str, head: set[str]) -> None:
    """Load a file into `network`, and its normalization, if it states one, into `network.pretrained_cfg`.

    timm converts the weights as it does its own: names of the original publication, positions for another
    image size. A head of another size stays as it is, and so does a head that the file lacks.

    Args:
        network: a timm network.
        file: safetensors, or what `torch.save` wrote.
        architecture: timm's name of the network, with a tag or without.
        head: keys of the network's state that may be missing in the file.

    Raises:
        WeightsError: the file is no file of weights, or is of another network.
    """
    normalization = _normalization(file, architecture)
    try:
        state = _read(file)
    except _UNREADABLE as error:
        raise WeightsError(f"weights: {file} is no file of weights ({error!r})") from error
    try:
        state = _converted(state, network)
    except _MISFITS as error:
        raise WeightsError(f"weights: {file} is not of {architecture}: {error!r}") from error
    own = network.state_dict()
    fitting = {key: state[key] for key in own if key in state and state[key].shape == own[key].shape}
    wrong = [key for key in own if key not in fitting and key not in head]
    surplus = [key for key in state if key not in own]
    if wrong or surplus:
        raise WeightsError(
            f"weights: {file} is not of {architecture}: {len(wrong)} of its {len(own)} tensors are missing "
            f"or of another shape {wrong[:3]}, {len(surplus)} are not its own {surplus[:3]}; name the "
            "architecture of the file"
        )
    network.load_state_dict(fitting, strict=False)
    cast(Any, network).pretrained_cfg |= normalization


def _read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file; its format is known by its content, for a download may have any name."""
    with file.open("rb") as opened:
        start = opened.read(9)
    # A safetensors file starts with the size of its header, in 8 bytes, and the JSON of the header.
    if start[8:] == b"{":
        return cast(dict[str, Tensor], clean_state_dict(load_file(file)))
    return cast(dict[str, Tensor], load_state_dict(str(file), weights_only=True))


def _converted(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Convert weights as timm does before it loads them: a function of that name in the network's module."""
    convert = vars(sys.modules[type(network).__module__]).get("checkpoint_filter_fn")
    return cast(dict[str, Tensor], convert(state, network)) if convert else state


def _normalization(file: Path, architecture: str) -> dict[str, Channels]:
    """Return `mean` and `std` that a file was trained with, or nothing where none are stated.

    They are in `config.json` beside the file, in timm's form, or in the file of an earlier training of ours.
    """
    config = file.with_name(_CONFIG)
    source = config if config.is_file() else file
    try:
        tree = json.loads(config.read_bytes() if config.is_file() else _header(file))
        stated = _Description.model_validate(tree | tree.get("pretrained_cfg", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"weights: {source} does not describe weights ({error}); correct it") from error
    bare = architecture.partition(".")[0]
    if stated.architecture and stated.architecture.partition(".")[0] != bare:
        raise WeightsError(
            f"weights: {source} is of {stated.architecture}; set `architecture` to it, not {bare}"
        )
    return stated.model_dump(include={"mean", "std"}, exclude_none=True)


def _header(file: Path) -> str:
    """Return the JSON that a training of ours wrote into its file; `{}` for any other file."""
    try:
        with safe_open(file, framework="pt") as opened:
            return str((opened.metadata() or {}).get(HEADER, "{}"))
    except (SafetensorError, OSError):
        return "{}"  # not safetensors; a broken file is reported by its reader
