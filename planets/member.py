"""One network of a bundle, run by torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from planets.errors import BundleError
from planets.fitted import Fitted
from planets.manifest import INFO, MemberInfo
from planets.model import restore
from planets.predict import predict_scores


@dataclass(frozen=True, eq=False)
class Member:
    """A network with its weights; `labels` is how many outputs it has."""

    info: MemberInfo
    weights: dict[str, Tensor]
    labels: int

    @classmethod
    def of(cls, fitted: Fitted, name: str, licence: str) -> Member:
        """Make a member of a trained network."""
        info = MemberInfo(
            name=name,
            architecture=fitted.architecture,
            image_size=fitted.image_size,
            mean=fitted.mean,
            std=fitted.std,
            licence=licence,
            weights_sha256=hashlib.sha256(save(fitted.weights)).hexdigest(),
        )
        return cls(info, fitted.weights, len(fitted.labels))

    @classmethod
    def load(cls, file: Path, info: MemberInfo, labels: int) -> Member:
        """Read the weights `file` of the member `info`.

        Raises:
            BundleError: the file is missing, broken, of another bundle or of another network.
        """
        try:
            if hashlib.sha256(file.read_bytes()).hexdigest() != info.weights_sha256:
                raise BundleError(
                    f"{file} is not the file that {INFO} was written for; copy the bundle again"
                )
            member = cls(info, load_file(file), labels)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{file} cannot be read ({error}); copy the bundle again") from error
        member.network  # noqa: B018  whether the weights fit is told now, not at the first prediction
        return member

    def save(self, file: Path) -> None:
        """Write the weights to `file`."""
        file.write_bytes(save(self.weights))

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode."""
        info = self.info
        return restore(info.architecture, self.labels, info.image_size, self.weights)

    def scores(self, pixels: NDArray[np.uint8], tta: bool, batch_size: int) -> NDArray[np.float32]:
        """Return the scores of chips of its image size, float32 `(N, L)`; see `predict_scores`."""
        info = self.info
        return predict_scores(self.network, pixels, info.mean, info.std, batch_size=batch_size, tta=tta)
