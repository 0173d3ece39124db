"""Where chips come from: a local folder, Kaggle, or the synthetic sample; each ends as a folder here.

A source has a stamp: it names the content without having it, and another content has another stamp.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from planets.archive.layout import source_stamp
from planets.sources import SourceError
from planets.sources.kaggle import KaggleSource


class Source(Protocol):
    """Something that chips come from."""

    def stamp(self) -> str:
        """Name the content that `fetch` would give. Raises SourceError or ArchiveError without one."""

    def fetch(self) -> Path:
        """Return the folder with the chips, on this host. Raises SourceError where it cannot be had."""


@dataclass(frozen=True)
class DrawnSample:
    """The synthetic sample of `chips` chips; `code_version` names the code that draws it."""

    cache: Path
    chips: int
    seed: int
    code_version: str

    def stamp(self) -> str:
        """Size, seed and code make the sample what it is."""
        return f"sample {self.chips} {self.seed} {self.code_version}"

    def fetch(self) -> Path:
        """Make the sample in the cache, unless this code has made it there."""
        from planets.synthetic.sample import make_sample

        folder = self.cache / f"sample-{self.chips}-{self.seed}-{self.code_version}"
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache / f"{folder.name}.lock"):
            if not folder.exists():
                make_sample(folder, chips=self.chips, seed=self.seed)
        return folder


@dataclass(frozen=True)
class LocalFolder:
    """A folder of the user's own; it is only read."""

    path: str

    def stamp(self) -> str:
        """Path, size and time of every file: no picture is opened."""
        folder = self.fetch().resolve()
        return f"local {folder} {source_stamp(folder)}"

    def fetch(self) -> Path:
        """The folder itself."""
        return fetch_local(self.path)


def source_of(
    kind: str, cache: Path, path: str, kaggle: str, chips: int, seed: int, code_version: str
) -> Source:
    """The source that the settings name: `sample`, `local` or `kaggle`."""
    match kind:
        case "sample":
            return DrawnSample(cache, chips, seed, code_version)
        case "local":
            return LocalFolder(path)
        case "kaggle":
            return KaggleSource(cache, kaggle)
    raise SourceError(f"dataset.source: {kind!r} is none of sample, local, kaggle")


def fetch_local(path: str) -> Path:
    """The folder `path` itself; it is only read.

    Raises:
        SourceError: there is no such folder on this host.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise SourceError(
            f"dataset.path: no folder {str(folder)!r} on this host; "
            "give the folder that holds train-jpg/ and train_classes.csv (DATASET_PATH=/some/folder)"
        )
    return folder
