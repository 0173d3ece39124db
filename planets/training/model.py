"""timm networks with a head for the labels."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, cast

import timm
import torch
from huggingface_hub import hf_hub_download
from torch import Tensor, nn

from planets.chips import Channels
from planets.config import ConfigError
from planets.config.training import ModelEntry, TrainingSettings
from planets.training import TrainingError
from planets.training.augment import train_size
from planets.training.weights import WeightsError, find_file, load_weights, require_digest

_MISFITS = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, ArithmeticError)
"""Exceptions of networks for an input that does not suit them; there is no common base."""


def build_model(
    entry: ModelEntry,
    num_labels: int,
    image_size: int | None = None,
    drop_rate: float = 0.0,
    drop_path: float = 0.0,
) -> nn.Module:
    """Make the network of an entry, every parameter trainable, with a new head of `num_labels` logits.

    Args:
        entry: names the architecture and where the weights of the body come from: a file or a folder on this
            machine, timm's hub, or nowhere. Addresses and ClearML models are for `steps` to fetch.
        num_labels: outputs of the head, which timm puts where the architecture keeps it.
        image_size: pixels per side, for networks with a fixed input size (transformers).
        drop_rate: dropout before the head.
        drop_path: stochastic depth: probability of skipping the deepest block; must be 0 for architectures
            without it.

    Raises:
        ConfigError: timm has no such architecture.
        WeightsError: the pretrained weights are unavailable, or belong to another network.
    """
    hub = entry.weights_kind == "hub"
    try:
        if hub and entry.weights_sha256:
            _require_hub_digest(entry)
        network = create(
            entry.timm_name, num_labels, image_size, hub, drop_rate=drop_rate, drop_path_rate=drop_path
        )
    # The hub raises OSError for every failure of network, cache and server.
    except (OSError, RuntimeError) as error:
        raise WeightsError(_ways_out(entry, error)) from error
    if entry.weights and not hub:
        file = find_file(Path(entry.weights), entry.architecture)
        require_digest(file, entry.weights_sha256)
        load_weights(network, file, entry.architecture, head_keys(network))
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


def head_keys(network: nn.Module) -> set[str]:
    """Return the names, in the state, of the layer or layers that make the logits."""
    head = cast(Any, network).get_classifier()
    layers = head if isinstance(head, tuple) else (head,)
    names = [name for name, module in network.named_modules() if any(module is layer for layer in layers)]
    return {key for key in network.state_dict() if any(key.startswith(f"{name}.") for name in names)}


def pretrained_statistics(network: nn.Module) -> tuple[Channels, Channels]:
    """Return mean and standard deviation (0 to 1) of the images in a network's pretraining.

    They are those that the weights came with, or else timm's for the architecture.
    """
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
    require_architecture(entry.timm_name)
    sizes = {settings.image_size} | {train_size(settings, epoch) for epoch in range(settings.epochs)}
    try:
        _try_sizes("meta", entry, settings, num_labels, sizes)
    except ConfigError:
        _try_sizes("cpu", entry, settings, num_labels, sizes)


def _require_hub_digest(entry: ModelEntry) -> None:
    """Check the digest of the file that timm is about to take from its hub; the copy is cached for both."""
    require_architecture(entry.timm_name)
    cfg = timm.get_pretrained_cfg(entry.timm_name)
    if cfg is None or not cfg.hf_hub_id:
        raise ConfigError(
            f"model {entry.name}: timm's hub has no file of {entry.timm_name} to check; name one"
        )
    name = cfg.hf_hub_filename or "model.safetensors"
    require_digest(
        Path(hf_hub_download(cfg.hf_hub_id, name)), entry.weights_sha256, f"{cfg.hf_hub_id}/{name}"
    )


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
        f"model {entry.name}: the pretrained weights of {entry.timm_name} are unavailable "
        f"({_first_line(error)}). Connect this machine to huggingface.co; or let `weights:` name a file, a "
        "folder, an address or a ClearML model; or set `pretrained: false`"
    )
