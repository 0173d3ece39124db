"""What `output/best` is: a model that can be used anywhere, with all that its predictions depend on.

bundle.json                  networks, labels, decision, preprocessing, origin: `BundleInfo`
members/<name>.safetensors   the weights of each network: one, or several for an ensemble
members/<name>.onnx          the same network as an ONNX graph, from decoded chips to logits
metrics.json                 the full report of the evaluation
figures/                     pictures of it, if there are any
README.md                    the model card, where the bundle was installed as output/best

Nothing here needs torch: what runs a network is a `Scorer`, and only the default one is torch's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from planets.bundle import BundleError
from planets.bundle.manifest import INFO, METRICS, BundleInfo, MemberInfo, read_json
from planets.chips import ArchiveError
from planets.chips.batches import blocks
from planets.chips.jpeg import DECODER, RESIZER
from planets.decision.decision import Decision
from planets.evaluation.scores import BATCH_SIZE
from planets.labels import to_tags

LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxscript", "pillow", "timm", "torch")


class Scorer(Protocol):
    """A network that can score chips, by whatever runtime."""

    @property
    def info(self) -> MemberInfo:
        """What network it is."""

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores float32 `(N, L)` of chips, uint8 `(N, size, size, 3)`."""

    def save(self, folder: Path) -> None:
        """Write its files into a bundle's folder."""


Reader = Callable[[Path, MemberInfo, int], Scorer]
"""Reads a network: the bundle's folder, what it is, how many labels it has."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle in memory; `members` are in the order of `info.members`."""

    info: BundleInfo
    members: tuple[Scorer, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        members: Sequence[Scorer],
        decision: Decision,
        metrics: Mapping[str, Any],
        scores: Mapping[str, float],
        **origin: Any,
    ) -> Bundle:
        """Put a bundle together.

        Args:
            members: the trained networks, in the order of `decision.shares`.
            decision: how their scores become tags.
            metrics: the full report, for `metrics.json`.
            scores: the report in short.
            origin: `name`, `dataset_id`, `source`, `content_hash`, `parts`, `split_seed` and `code_version`.
        """
        info = BundleInfo(
            members=tuple(member.info for member in members),
            decision=decision,
            decoder=DECODER,
            resizer=RESIZER,
            batch_size=BATCH_SIZE,
            scores=dict(scores),
            libraries={name: version(name) for name in LIBRARIES},
            **origin,
        )
        return cls(info, tuple(members), metrics)

    def save(self, folder: Path) -> None:
        """Write the bundle to `folder`, over an older one; `bundle.json` comes last, as its seal."""
        for member in self.members:
            member.save(folder)
        (folder / METRICS).write_text(json.dumps(self.metrics, indent=2) + "\n", encoding="utf-8")
        (folder / INFO).write_text(self.info.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, read: Reader | None = None) -> Bundle:
        """Read a bundle; needs no network connection, and nothing of the training.

        Args:
            folder: of the bundle.
            read: reads a network; None: by torch. `OnnxMember.load` does without torch.

        Raises:
            BundleError: a file is missing or broken, the weights are those of another bundle or of another
                network, or the chips would be read in another way than the bundle was made with.
        """
        info = BundleInfo.read(folder)
        read = read or _torch_reader()
        members = tuple(read(folder, member, len(info.labels)) for member in info.members)
        return cls(info, members, read_json(folder / METRICS))

    @property
    def sizes(self) -> list[int]:
        """The image sizes that the networks need, each once."""
        return sorted({member.image_size for member in self.info.members})

    def probabilities(self, pixels: Mapping[int, NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the probabilities of the labels on chips, float32 `(N, L)`.

        Args:
            pixels: the same chips at each of `sizes`: uint8 of shape `(N, size, size, 3)`.

        Raises:
            BundleError: a size is missing, or chips are of another size than said.
            ValueError: there are no chips.
        """
        for size in self.sizes:
            shape = pixels[size].shape[1:] if size in pixels else None
            if shape != (size, size, 3):
                raise BundleError(f"chips of {size}x{size} pixels are needed, not {shape}; resize them")
        decision = self.info.decision
        scores = [
            member.scores(pixels[member.info.image_size], decision.tta, self.info.batch_size)
            for member in self.members
        ]
        return decision.probabilities(scores)

    def tags(self, probabilities: NDArray[np.float32]) -> list[list[str]]:
        """Return the tags of each row of probabilities `(N, L)`, by the bundle's decision."""
        predictions = self.info.decision.predict(probabilities)
        return [to_tags(row, self.info.labels) for row in predictions]

    def predict(self, images: Sequence[bytes | Path]) -> tuple[NDArray[np.float32], list[list[str]]]:
        """Return the probabilities `(N, L)` and the tags of JPEG files, given by path or by content.

        Raises:
            ArchiveError: a file is missing or is no JPEG picture; the message names it.
        """
        tables, tags = [np.zeros((0, len(self.info.labels)), dtype=np.float32)], []
        for number, block in enumerate(blocks(images, self.sizes, self.info.batch_size)):
            if block.faults:
                row, fault = min(block.faults.items())
                raise ArchiveError(f"{_said(images, number * self.info.batch_size + row)}: {fault}")
            probabilities = self.probabilities(block.chips)[: block.length]
            tables.append(probabilities)
            tags += self.tags(probabilities)
        return np.concatenate(tables), tags


def _torch_reader() -> Reader:
    # Here, so that a server with another runtime does without torch.
    from planets.bundle.torch_member import TorchMember

    return TorchMember.load


def _said(images: Sequence[bytes | Path], place: int) -> str:
    """Return what a picture is called in a message."""
    image = images[place]
    return f"picture {place}" if isinstance(image, bytes) else str(image)
