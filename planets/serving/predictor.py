"""The model as a Python object: `Predictor("output/best").predict(["chip.jpg"])`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from planets.bundle.bundle import Bundle
from planets.bundle.manifest import require_bundle
from planets.bundle.onnx_member import OnnxMember
from planets.serving import PredictionError

Runtime = Literal["onnx", "torch"]
"""Runtime of the networks: ONNX Runtime on the CPU, or torch, on the GPU if there is one."""


class Prediction(NamedTuple):
    """Prediction for one picture.

    Attributes:
        name: the path as given; for a picture given as bytes, its position from 0.
        tags: the predicted labels, in the order of the bundle's labels.
        probabilities: probability of every label, 0 to 1.
    """

    name: str
    tags: tuple[str, ...]
    probabilities: dict[str, float]


class Predictor:
    """The model of a bundle, read once."""

    def __init__(self, folder: str | Path = "output/best", runtime: Runtime = "onnx") -> None:
        """Read the bundle in `folder`.

        Raises:
            BundleError: it is missing, incomplete, damaged, or of another format.
            PredictionError: there is no such runtime.
        """
        self.bundle = open_bundle(Path(folder), runtime)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the model, in the order of its outputs."""
        return self.bundle.info.labels

    def predict(self, pictures: Iterable[str | Path | bytes]) -> list[Prediction]:
        """Return the predictions for JPEG files, given as paths or as bytes, in their order.

        Raises:
            ArchiveError: a file is missing or not a JPEG; the message names it.
            PredictionError: a single picture was given instead of an iterable.
        """
        if isinstance(pictures, str | bytes | Path):
            raise PredictionError("several pictures are needed: write predict([picture]) for a single one")
        given = list(pictures)
        names = [str(place) if isinstance(each, bytes) else str(each) for place, each in enumerate(given)]
        images = [image if isinstance(image, bytes) else Path(image) for image in given]
        probabilities, tags = self.bundle.predict(images)
        return [
            Prediction(name, tuple(each), dict(zip(self.labels, row.tolist(), strict=True)))
            for name, each, row in zip(names, tags, probabilities, strict=True)
        ]


def open_bundle(folder: Path, runtime: str) -> Bundle:
    """Read a bundle for a runtime; see `Predictor`."""
    if runtime not in get_args(Runtime):
        raise PredictionError(f"no runtime {runtime!r}; the runtimes are: {', '.join(get_args(Runtime))}")
    require_bundle(folder)
    return Bundle.load(folder, OnnxMember.load if runtime == "onnx" else None)
