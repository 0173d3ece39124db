"""The model as a Python object: `Predictor("output/best").predict(["chip.jpg"])`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from planets.bundle import BundleError
from planets.bundle.bundle import Bundle
from planets.bundle.manifest import INFO
from planets.bundle.onnx_member import OnnxMember
from planets.serving import PredictionError

Runtime = Literal["onnx", "torch"]
"""What runs the networks: ONNX Runtime on the processor, or torch, on the GPU if there is one."""


class Prediction(NamedTuple):
    """What the model says of a picture.

    Attributes:
        name: the path, as it was given; of a picture that was given by its content, its position from 0.
        tags: by the bundle's decision, in the order of its labels.
        probabilities: of every label, 0 to 1.
    """

    name: str
    tags: tuple[str, ...]
    probabilities: dict[str, float]


class Predictor:
    """The model of a bundle's folder, read once."""

    def __init__(self, folder: str | Path = "output/best", runtime: Runtime = "onnx") -> None:
        """Read the bundle in `folder`.

        Raises:
            BundleError: there is none, it is incomplete or broken, or of another version.
            PredictionError: there is no such runtime.
        """
        self.bundle = open_bundle(Path(folder), runtime)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the model knows, in the order of its outputs."""
        return self.bundle.info.labels

    def predict(self, pictures: Iterable[str | Path | bytes]) -> list[Prediction]:
        """Return a prediction for each of some JPEG files, given by path or by content, in their order.

        Raises:
            ArchiveError: a file is missing or is no JPEG picture; the message names it.
            PredictionError: one picture was given in place of several.
        """
        if isinstance(pictures, str | bytes | Path):
            raise PredictionError("several pictures are needed: write predict([picture]) for a single one")
        given = list(pictures)
        names = [str(place) if isinstance(each, bytes) else str(each) for place, each in enumerate(given)]
        images = [each if isinstance(each, bytes) else Path(each) for each in given]
        probabilities, tags = self.bundle.predict(images)
        return [
            Prediction(name, tuple(each), dict(zip(self.labels, row.tolist(), strict=True)))
            for name, each, row in zip(names, tags, probabilities, strict=True)
        ]


def open_bundle(folder: Path, runtime: str) -> Bundle:
    """Read a bundle for one of the runtimes; see `Predictor`."""
    if runtime not in get_args(Runtime):
        raise PredictionError(f"no runtime {runtime!r}; the runtimes are: {', '.join(get_args(Runtime))}")
    if not (folder / INFO).exists():
        raise BundleError(
            f"no model in {folder}: make one with `make train.pipeline`, or name another folder with BUNDLE="
        )
    return Bundle.load(folder, OnnxMember.load if runtime == "onnx" else None)
