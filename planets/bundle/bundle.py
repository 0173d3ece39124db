"""The bundle, `output/best`: a model with everything that its predictions depend on.

bundle.json                  networks, label set, decision, preprocessing, origin: `BundleInfo`
members/<name>.safetensors   the weights of each network: one, or several for an ensemble
members/<name>.onnx          the same network as an ONNX graph, from decoded chips to logits
metrics.json                 the full report of the evaluation
figures/                     its figures, if any
README.md                    the model card, once the bundle is installed as output/best

Nothing here needs torch: a `Scorer` runs a network, and only the default one uses torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from planets.bundle import BundleError
from planets.bundle.manifest import INFO, METRICS, BundleInfo, MemberInfo, read_json
from planets.chips import ArchiveError
from planets.chips.batches import blocks
from planets.chips.jpeg import DECODER, RESIZER
from planets.decision.decision import Decision
from planets.evaluation.scores import BATCH_SIZE
from planets.labels import LabelSet, to_tags
from planets.system import atomic_write

LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxscript", "pillow", "timm", "torch")


class Origin(TypedDict):
    """Provenance of a model; the fields are those of `BundleInfo`."""

    name: str
    label_set: LabelSet
    dataset_id: str
    source: str
    content_hash: str
    parts: dict[str, int]
    split_seed: int
    code_version: str


class Scorer(Protocol):
    """A network that scores chips, in some runtime."""

    @property
    def info(self) -> MemberInfo:
        """Description of the network."""

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores float32 `(N, L)` of chips, uint8 `(N, size, size, 3)`."""

    def save(self, folder: Path) -> None:
        """Write its files into a bundle's folder."""


Reader = Callable[[Path, MemberInfo, int], Scorer]
"""Reads a network, given the bundle's folder, its description and its number of labels."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle in memory; `members` are in the order of `info.members`."""

    info: BundleInfo
    members: tuple[Scorer, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        members: Sequence[Scorer],
        decision: Decision,
        metrics: Mapping[str, Any],
        scores: Mapping[str, float],
        **origin: Unpack[Origin],
    ) -> Bundle:
        """Create a bundle.

        Args:
            members: the trained networks, in the order of `decision.shares`.
            decision: turns their scores into tags.
            metrics: the full report, for `metrics.json`.
            scores: the report in short.
            origin: name, labels and provenance.
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
        """Write the bundle to `folder`, over an older one; `bundle.json` comes last and seals it."""
        for member in self.members:
            member.save(folder)
        (folder / METRICS).write_text(json.dumps(self.metrics, indent=2) + "\n", encoding="utf-8")
        with atomic_write(folder / INFO) as partial:
            partial.write_text(self.info.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, read: Reader | None = None) -> Bundle:
        """Read a bundle, without a network connection.

        Args:
            folder: the bundle's folder.
            read: reads a network; None: with torch. `OnnxMember.load` needs no torch.

        Raises:
            BundleError: a file is missing or damaged, weights belong to another bundle or network, or this
                version decodes or resizes chips differently.
        """
        info = BundleInfo.read(folder)
        read = read or _torch_reader()
        members = tuple(read(folder, member, len(info.labels)) for member in info.members)
        return cls(info, members, read_json(folder / METRICS))

    @property
    def sizes(self) -> list[int]:
        """Distinct image sizes of the networks, ascending."""
        return sorted({member.image_size for member in self.info.members})

    def probabilities(self, pixels: Mapping[int, NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the probabilities of the labels, float32 `(N, L)`.

        Args:
            pixels: the same chips at each of `sizes`: uint8 of shape `(N, size, size, 3)`.

        Raises:
            BundleError: a size is missing, or its chips have another size.
            ValueError: there are no chips.
        """
        for size in self.sizes:
            shape = pixels[size].shape[1:] if size in pixels else None
            if shape != (size, size, 3):
                raise BundleError(f"expected chips of {size}x{size} pixels, got {shape}; resize them")
        decision = self.info.decision
        scores = [
            member.scores(pixels[member.info.image_size], decision.tta, self.info.batch_size)
            for member in self.members
        ]
        return decision.probabilities(scores)

    def tags(self, probabilities: NDArray[np.float32]) -> list[list[str]]:
        """Apply the bundle's decision: return the tags of each row of probabilities `(N, L)`."""
        predictions = self.info.decision.predict(probabilities)
        return [to_tags(row, self.info.labels) for row in predictions]

    def predict(self, images: Sequence[bytes | Path]) -> tuple[NDArray[np.float32], list[list[str]]]:
        """Return the probabilities `(N, L)` and the tags of JPEG files, given as paths or as bytes.

        Raises:
            ArchiveError: a file is missing or not a JPEG; the message names it.
        """
        tables, tags = [np.zeros((0, len(self.info.labels)), dtype=np.float32)], []
        for number, block in enumerate(blocks(images, self.sizes, self.info.batch_size)):
            if block.faults:
                row, fault = min(block.faults.items())
                raise ArchiveError(f"{_name(images, number * self.info.batch_size + row)}: {fault}")
            probabilities = self.probabilities(block.chips)[: block.length]
            tables.append(probabilities)
            tags += self.tags(probabilities)
        return np.concatenate(tables), tags


def _torch_reader() -> Reader:
    # Imported late, so that a server with another runtime needs no torch.
    from planets.bundle.torch_member import TorchMember

    return TorchMember.load


def _name(images: Sequence[bytes | Path], index: int) -> str:
    """Name a picture in a message."""
    image = images[index]
    return f"picture {index}" if isinstance(image, bytes) else str(image)
