"""The synthetic sample: drawn chips in the Kaggle layout, whose labels follow the real table's statistics."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from planets.archive.layout import CHIPS, TABLE
from planets.archive.table import write_table
from planets.archive.writer import new_folder
from planets.chips.store import Progress
from planets.synthetic.drawing import draw_jpeg
from planets.synthetic.label_sets import Tags, draw_label_sets
from planets.synthetic.labels import PLANETS
from planets.synthetic.terrain import SIDE
from planets.system import usable_cores

_FEW = 200
"""Up to this many chips, one process is faster than starting a second one."""


@dataclass(frozen=True)
class Drawing:
    """One chip to draw. Chips of equal `picture` and `tags` are identical files."""

    index: int
    picture: int
    tags: Tags

    @property
    def name(self) -> str:
        """The chip's name, as in the real set."""
        return f"train_{self.index}"


def make_sample(
    folder: Path,
    chips: int,
    seed: int,
    size: int = SIDE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Draw `chips` chips of `size` by `size` pixels into `folder`, in the Kaggle layout; return `folder`.

    The same chips, seed and size give the same files, however many workers draw them. The folder appears
    complete or not at all. One chip in 300 has a copy under another name.

    Args:
        workers: number of processes; None for one per core, and a single one for a small sample. They are
            spawned, so a calling script needs an `if __name__ == "__main__"` guard.
        progress: called after each chip with the number of drawn chips and of all chips.

    Raises:
        ArchiveError: `folder` is not empty.
        ValueError: `chips` or `size` is not positive.
    """
    if chips < 1 or size < 1:
        raise ValueError(f"a sample needs at least one chip of one pixel, not {chips} of {size}")
    plan = plan_sample(chips, seed)
    with new_folder(folder) as new:
        (new / CHIPS).mkdir()
        for done, (drawing, data) in enumerate(_drawn(plan, seed, size, workers), start=1):
            (new / CHIPS / f"{drawing.name}.jpg").write_bytes(data)
            if progress:
                progress(done, chips)
        names, tags = [chip.name for chip in plan], [PLANETS.join_tags(chip.tags) for chip in plan]
        write_table(new / TABLE, pd.DataFrame({"image_name": names, "tags": tags}))
    return folder


def plan_sample(chips: int, seed: int) -> list[Drawing]:
    """Choose the labels of each chip, and the chips that are copies of others."""
    rng = np.random.default_rng([seed, chips])
    tags = draw_label_sets(chips, rng)
    pictures = list(range(chips))
    # Copies only among the commonest set, so that they leave the label statistics as they are.
    common = [index for index in range(chips) if tags[index] == {"clear", "primary"}]
    pairs = min(max(chips // 300, 1), len(common) // 2)
    for original, copy in zip(common[:pairs], common[-pairs:] if pairs else [], strict=True):
        pictures[copy] = original
    return [Drawing(index, pictures[index], tags[index]) for index in range(chips)]


def _drawn(
    plan: Sequence[Drawing], seed: int, size: int, workers: int | None
) -> Iterator[tuple[Drawing, bytes]]:
    """Yield each drawing with its JPEG file, in order."""
    processes = workers or (usable_cores() if len(plan) > _FEW else 1)
    jobs = [(seed, size, drawing) for drawing in plan]
    if processes == 1:
        yield from zip(plan, map(_jpeg, jobs), strict=True)
        return
    # Spawned, not forked: the caller may run threads, as the ClearML SDK does.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(plan, pool.map(_jpeg, jobs, chunksize=16), strict=True)


def _jpeg(job: tuple[int, int, Drawing]) -> bytes:
    seed, size, drawing = job
    return draw_jpeg(drawing.tags, size, np.random.default_rng([seed, drawing.picture]))
