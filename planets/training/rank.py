"""Which process of a training this one is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """The index of a process among `world` that train together; each has its part of every batch."""

    index: int = 0
    world: int = 1


ALONE = Rank()
