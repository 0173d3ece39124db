"""The pipeline on all 40,479 chips and on a tenth of them: time, memory, disk of each step, and the growth.

    python benchmarks/full_size.py TABLE [--chips 4000 40479]
    python benchmarks/full_size.py TABLE --grow 1000

With `--grow`, the registration of all chips, of that many more as a child version, and of that many alone,
in seconds of processors, which other work on the machine does not change.

TABLE is the real `train_classes.csv`. The pictures are drawn, one for each of a few thousand rows; chips that
share a picture differ in a comment, so that each is a file of its own. The run is the real one: agents, the
embedded server, the small model of the sample for one epoch.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from planets.archive.layout import CHIPS, TABLE
from planets.archive.table import read_table, write_table
from planets.labels import parse_tags
from planets.synthetic.drawing import draw_jpeg
from planets.synthetic.labels import PLANETS

ROOT = Path(__file__).resolve().parent.parent
STEPS = {
    f"{function}.py": step
    for step, function in (
        ("ingest", "ingest_chips"),
        ("register", "register_dataset"),
        ("split", "split_chips"),
        ("train", "train_model"),
        ("evaluate", "evaluate_model"),
        ("ensemble", "evaluate_ensemble"),
        ("select", "select_best"),
    )
}
PICTURES = 2000
SETTINGS = ("stack.api_port=0", "stack.files_port=0", "dataset.source=local", "evaluation.ensemble=false")


@dataclass
class Cost:
    """What a step took: seconds, GB that were its process's alone at most, GB it left on the disk."""

    seconds: float
    memory: float
    disk: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--chips", type=int, nargs="+", default=[4000, 40479])
    parser.add_argument("--grow", type=int, default=0)
    asked = parser.parse_args()
    rows = read_table(asked.table, PLANETS)
    with tempfile.TemporaryDirectory() as folder:
        if asked.grow:
            grow(Path(folder), rows[: asked.chips[-1]], asked.grow)
            return
        costs = {}
        for count in asked.chips:
            home = Path(folder) / str(count)
            make_chips(home / "chips", rows[:count])
            costs[count] = run(home)
            shutil.rmtree(home)
    show(costs)


def make_chips(folder: Path, rows: pd.DataFrame, pictures: int = PICTURES) -> None:
    """Write a chip for each row: drawn for the first rows, then the picture of a row with the same tags."""
    (folder / CHIPS).mkdir(parents=True)
    drawn_for: dict[frozenset[str], list[bytes]] = defaultdict(list)
    drawn = 0
    for number, (name, cell) in enumerate(zip(rows["image_name"], rows["tags"], strict=True)):
        tags = parse_tags(cell)
        known = drawn_for[tags]
        if drawn < pictures or not known:
            known.append(draw_jpeg(tags, 256, np.random.default_rng([1, number])))
            drawn += 1
        data = known[number % len(known)]
        comment = name.encode()
        # A comment segment right after the first two bytes: another file, the same picture.
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / CHIPS / f"{name}.jpg").write_bytes(data[:2] + segment + data[2:])
    write_table(folder / TABLE, rows)
    print(f"{len(rows)} chips of {drawn} pictures", flush=True)


@contextmanager
def pipeline(home: Path) -> Iterator[Callable[..., float]]:
    """Yield a function that runs a command on a folder of chips, in a copy of the tree with its own stack.

    It returns the seconds of processors that the command took, the server's left out.
    """
    tree = home / "tree"
    for name in ("configs", "pipeline", "planets", "server", "steps"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CLEARML")}
    environment |= {"PYTHONPATH": str(tree), "CLEARML_CONFIG_FILE": str(home / "none.conf")}

    def call(chips: Path, *words: str) -> float:
        sets = [word for pair in (*SETTINGS, f"dataset.path={chips}") for word in ("--set", pair)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pipeline", *words, *sets]
        subprocess.run(command, cwd=tree, env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    try:
        yield call
    finally:
        subprocess.run([sys.executable, "-m", "pipeline", "down"], cwd=tree, env=environment, check=True)


def run(home: Path) -> dict[str, Cost]:
    """Run the pipeline and watch its steps."""
    with pipeline(home) as call:
        watch = Watch(home)
        try:
            call(home / "chips", "run", "--models", "test_resnet", "--epochs", "1")
        finally:
            watch.end()
    report = json.loads((home / "tree/output/run.json").read_text())
    seconds = {step["name"].partition("_")[0]: step["seconds"] for step in report["steps"]}
    return {step: Cost(seconds[step], watch.memory[step], watch.disk[step]) for step in seconds}


def grow(home: Path, rows: pd.DataFrame, added: int) -> None:
    """Register `rows`, then `added` more in the same folder, and as many alone; print the seconds of each."""
    new = rows[:added].assign(image_name=[f"new_{number}" for number in range(added)])
    make_chips(home / "few", rows[:10])
    make_chips(home / "alone", new, pictures=100)
    make_chips(home / "chips", rows, pictures=200)
    with pipeline(home) as call:
        call(home / "few", "upload", "--set", "clearml.dataset=few-chips")  # starts the server
        alone = call(home / "alone", "upload", "--set", "clearml.dataset=new-chips")
        whole = call(home / "chips", "upload")
        for file in (home / "alone" / CHIPS).iterdir():
            shutil.copyfile(file, home / "chips" / CHIPS / file.name)
        write_table(home / "chips" / TABLE, pd.concat([rows, new]))
        child = call(home / "chips", "upload")
    stored = sorted(file.stat().st_size / 1e6 for file in home.glob("tree/.stack/**/dataset.*.zip"))
    print(f"\n{added:,} chips alone: {alone:.1f} s; {len(rows):,} chips: {whole:.1f} s")
    print(f"{len(rows):,} chips and {added:,} new ones: {child:.1f} s")
    print("archives on the file server, MB: " + ", ".join(f"{size:.1f}" for size in stored))


class Watch:
    """Looks at the step processes a few times a second, and at the disk that they fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory: dict[str, float] = defaultdict(float)
        self.disk: dict[str, float] = defaultdict(float)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        before = shutil.disk_usage(self.folder).used
        while not self._over.wait(0.3):
            now = shutil.disk_usage(self.folder).used
            for process in psutil.process_iter(["cmdline"]):
                step = STEPS.get((process.info["cmdline"] or [""])[-1])
                if step is None:
                    continue
                self.disk[step] += (now - before) / 1e9
                before = now
                try:
                    # Its own pages: those of the mapped store belong to the system's cache.
                    self.memory[step] = max(self.memory[step], process.memory_full_info().uss / 1e9)
                except psutil.Error:
                    continue


def show(costs: dict[int, dict[str, Cost]]) -> None:
    counts = sorted(costs)
    growth = counts[-1] / counts[0]
    heading = "".join(f"{f'{count:,} chips: s':>20}{'GB memory':>11}{'GB disk':>9}" for count in counts)
    print(f"\n{'step':10}{heading}{f'time for {growth:.1f} x':>16}")
    for step in costs[counts[0]]:
        cells = [costs[count][step] for count in counts]
        line = "".join(f"{cost.seconds:>20.1f}{cost.memory:>11.2f}{cost.disk:>9.2f}" for cost in cells)
        print(f"{step:10}{line}{f'{cells[-1].seconds / cells[0].seconds:.1f} x':>16}")


if __name__ == "__main__":
    main()
