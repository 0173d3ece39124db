"""The optimisers: timm's, by their names."""

from __future__ import annotations

import difflib

from timm.optim import list_optimizers

from planets.config import ConfigError


def require_optimizer(name: str) -> None:
    """Check that timm knows an optimiser.

    Raises:
        ConfigError: it does not; the message names what is near.
    """
    known = list_optimizers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise ConfigError(
            f"training.optimizer: timm has no optimiser {name!r}; near it are: {', '.join(near or known)}"
        )
