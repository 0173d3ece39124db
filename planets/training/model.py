"""timm networks with a head for the labels, and their pretrained weights."""

from __future__ import annotations

import difflib
import pickle
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import Tensor, nn

from planets.chips import Channels
from planets.config import ConfigError
from planets.config.training import ModelEntry, TrainingSettings
from planets.errors import PlanetsError
from planets.training import TrainingError
from planets.training.augment import train_size

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

_MISFITS = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, ArithmeticError)
"""Exceptions of networks for an input that does not suit them; there is no common base."""

_SUFFIXES = (".safetensors", ".pth", ".bin")
"""Suffixes of weight files, in the order in which a folder is searched."""


class WeightsError(PlanetsError):
    """Pretrained weights are missing, unreadable or of another network; the message names the remedies."""


def build_model(
    entry: ModelEntry,
    num_labels: int,
    image_size: int | None = None,
    drop_rate: float = 0.0,
    drop_path: float = 0.0,
) -> nn.Module:
    """Make the network of an entry, every parameter trainable, with a new head of `num_labels` logits.

    Args:
        entry: names the architecture and where the weights of the body come from: `weights`, a file or a
            folder of files named for their architectures; else timm's hub if `pretrained`; else nowhere.
        num_labels: outputs of the head, which timm puts where the architecture keeps it.
        image_size: pixels per side, for networks with a fixed input size (transformers).
        drop_rate: dropout before the head.
        drop_path: stochastic depth: probability of skipping the deepest block; must be 0 for architectures
            without it.

    Raises:
        ConfigError: timm has no such architecture.
        WeightsError: the pretrained weights are unavailable, or belong to another network.
    """
    hub = entry.pretrained and not entry.weights
    try:
        network = create(
            entry.architecture, num_labels, image_size, hub, drop_rate=drop_rate, drop_path_rate=drop_path
        )
    # The hub raises OSError for every failure of network, cache and server.
    except (OSError, RuntimeError) as error:
        raise WeightsError(_ways_out(entry, error)) from error
    if entry.weights:
        load_body(network, _weights_file(Path(entry.weights), entry.architecture))
    return network


def create(
    architecture: str,
    num_labels: int,
    image_size: int | None = None,
    pretrained: bool = False,
    **rates: float,
) -> nn.Module:
    """Create a network by the name of its architecture; see `build_model` for the arguments.

    Raises:
        ConfigError: timm has no such architecture, or the architecture has no such rate.
    """
    require_architecture(architecture)
    cfg = timm.get_pretrained_cfg(architecture)
    options: dict[str, Any] = {name: rate for name, rate in rates.items() if rate}
    if image_size and cfg is not None and cfg.fixed_input_size:
        options["img_size"] = image_size
    try:
        network = timm.create_model(architecture, pretrained=pretrained, num_classes=num_labels, **options)
    except TypeError as error:
        raise ConfigError(f"{architecture} takes no {' or '.join(options)} ({error}); set it to 0") from error
    return cast(nn.Module, network)


def restore(architecture: str, num_labels: int, image_size: int, weights: dict[str, Tensor]) -> nn.Module:
    """Create a network with all of its weights, in evaluation mode; needs no connection.

    Raises:
        TrainingError: timm has no such architecture, or the weights are of another network.
    """
    try:
        network = create(architecture, num_labels, image_size)
        network.load_state_dict(weights)
    except (ConfigError, RuntimeError) as error:
        raise TrainingError(
            f"the weights do not fit {architecture} with {num_labels} labels ({_first_line(error)}); use the "
            "version of timm that wrote them"
        ) from error
    return network.eval()


def _weights_file(place: Path, architecture: str) -> Path:
    """Return the weight file of an architecture: the path itself, or the file of that name in a folder."""
    if not place.is_dir():
        return place
    names = [
        f"{name}{suffix}" for name in (architecture, architecture.partition(".")[0]) for suffix in _SUFFIXES
    ]
    file = next((place / name for name in names if (place / name).is_file()), None)
    if file is None:
        raise WeightsError(f"weights: the folder {place} has none of {', '.join(names)}; put one there")
    return file


def load_body(network: nn.Module, file: Path) -> None:
    """Load a safetensors or torch file of weights into `network`; a head of another size stays as it is.

    Raises:
        WeightsError: the file is missing or no file of weights, or is of another network.
    """
    try:
        state: dict[str, Tensor] = load_state_dict(str(file))
    except FileNotFoundError as error:
        raise WeightsError(f"weights: no file {file}; give its path, or leave `weights` empty") from error
    except _UNREADABLE as error:
        raise WeightsError(f"weights: {file} is no file of weights ({error!r})") from error
    own, head = network.state_dict(), head_keys(network)
    fitting = {key for key in own if key in state and state[key].shape == own[key].shape}
    wrong = [key for key in own if key not in fitting and key not in head]
    surplus = [key for key in state if key not in own]
    if wrong or surplus:
        raise WeightsError(
            f"weights: {file} is not of this network: {len(wrong)} of its {len(own)} tensors are missing "
            f"or of another shape {wrong[:3]}, {len(surplus)} are not its own {surplus[:3]}; name the "
            "architecture of the file"
        )
    network.load_state_dict({key: state[key] for key in fitting}, strict=False)


def head_keys(network: nn.Module) -> set[str]:
    """Return the names, in the state, of the layer or layers that make the logits."""
    head = cast(Any, network).get_classifier()
    layers = head if isinstance(head, tuple) else (head,)
    names = [name for name, module in network.named_modules() if any(module is layer for layer in layers)]
    return {key for key in network.state_dict() if any(key.startswith(f"{name}.") for name in names)}


def pretrained_statistics(network: nn.Module) -> tuple[Channels, Channels]:
    """Return mean and standard deviation (0 to 1) of the images in a network's pretraining."""
    cfg = cast(Any, network).pretrained_cfg
    return tuple(cfg["mean"]), tuple(cfg["std"])


def require_architecture(architecture: str) -> None:
    """Check that timm knows a name.

    Raises:
        ConfigError: it has no such architecture or weights of it; the message suggests similar names.
    """
    bare, _, tag = architecture.partition(".")
    if not timm.is_model(bare):
        close = difflib.get_close_matches(bare, timm.list_models(), n=3)
        raise ConfigError(f"timm {timm.__version__} has no architecture {bare!r}; {_near(close)}")
    known = timm.list_models(f"{bare}.*", pretrained=True)
    if tag and architecture not in known:
        raise ConfigError(f"timm has no weights {tag!r} of {bare}; {_near(known)}")


def require_trainable(entry: ModelEntry, settings: TrainingSettings, num_labels: int) -> None:
    """Check that the network of an entry accepts images of each size that its training shows it.

    Transformers have patches, windows and fixed sizes; in convolutions a small image vanishes. The network
    runs on the meta device, without weights or arithmetic. What fails there is tried on the CPU, because a
    few networks compute something at creation and the meta device cannot.

    Raises:
        ConfigError: timm has no such architecture, it lacks a rate, or a size does not suit it.
    """
    require_architecture(entry.architecture)
    sizes = {settings.image_size} | {train_size(settings, epoch) for epoch in range(settings.epochs)}
    try:
        _try_sizes("meta", entry, settings, num_labels, sizes)
    except ConfigError:
        _try_sizes("cpu", entry, settings, num_labels, sizes)


def _try_sizes(
    device: str, entry: ModelEntry, settings: TrainingSettings, num_labels: int, sizes: set[int]
) -> None:
    begin = f"model {entry.name}: {entry.architecture} cannot train"
    # A batch of one chip is no batch to batch normalization of a single pixel.
    chips = min(2, settings.batch_size)
    with torch.device(device), torch.no_grad():
        try:
            network = create(
                entry.architecture,
                num_labels,
                settings.image_size,
                drop_rate=settings.drop_rate,
                drop_path_rate=settings.drop_path,
            )
        except _MISFITS as error:
            raise ConfigError(
                f"{begin} with image_size {settings.image_size}: {_first_line(error)}; set another one"
            ) from error
        for size in sorted(sizes, reverse=True):
            try:
                logits = network(torch.empty(chips, 3, size, size))
                if not isinstance(logits, Tensor) or logits.shape != (chips, num_labels):
                    raise ValueError(f"it answers no {num_labels} logits a chip")
            except _MISFITS as error:
                raise ConfigError(
                    f"{begin} on images of {size} x {size} pixels ({_first_line(error)}); "
                    f"{_size_remedy(settings, size)}"
                ) from error


def _size_remedy(settings: TrainingSettings, size: int) -> str:
    if size == settings.image_size:
        return "set another image_size, architecture or batch_size"
    smaller = [name for name in ("progressive", "crop") if getattr(settings, name)]
    return f"they are smaller than image_size ({settings.image_size}): set {' and '.join(smaller)} to 0"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _near(names: list[str]) -> str:
    return f"near it are: {', '.join(names)}" if names else "list them with timm.list_models()"


def _ways_out(entry: ModelEntry, error: Exception) -> str:
    return (
        f"model {entry.name}: the pretrained weights of {entry.architecture} are unavailable "
        f"({_first_line(error)}). Connect this machine to huggingface.co; or put a file with "
        "the weights here and name it, or its folder, in `weights:`; or set `pretrained: false`"
    )
