"""Sources of chips: a local folder, Kaggle, or the synthetic sample; each is fetched as a local folder.

A source's stamp identifies its content without fetching it: different content has a different stamp.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from planets.archive.layout import source_stamp
from planets.sources import SourceError
from planets.sources.kaggle import KaggleSource


class Source(Protocol):
    """A source of chips."""

    def stamp(self) -> str:
        """Identify the content that `fetch` would return. Raises SourceError or ArchiveError."""

    def fetch(self) -> Path:
        """Return a folder with the chips on this host. Raises SourceError if it is unavailable."""


@dataclass(frozen=True)
class DrawnSample:
    """The synthetic sample of `chips` chips; `code_version` identifies the code that draws it."""

    cache: Path
    chips: int
    seed: int
    code_version: str

    def stamp(self) -> str:
        """Return size, seed and code version, which determine the sample."""
        return f"sample {self.chips} {self.seed} {self.code_version}"

    def fetch(self) -> Path:
        """Return the sample in the cache, drawn unless it exists."""
        from planets.synthetic.sample import make_sample

        folder = self.cache / f"sample-{self.chips}-{self.seed}-{self.code_version}"
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache / f"{folder.name}.lock"):
            if not folder.exists():
                make_sample(folder, chips=self.chips, seed=self.seed)
        return folder


@dataclass(frozen=True)
class LocalFolder:
    """A folder of the user; it is never written."""

    path: str

    def stamp(self) -> str:
        """Return a hash over path, size and mtime of every file, without opening a chip."""
        folder = self.fetch().resolve()
        return f"local {folder} {source_stamp(folder)}"

    def fetch(self) -> Path:
        """Return the folder itself."""
        return fetch_local(self.path)


def source_of(
    kind: str, cache: Path, path: str, kaggle: str, chips: int, seed: int, code_version: str
) -> Source:
    """Return the source named by `kind`: `sample`, `local` or `kaggle`."""
    match kind:
        case "sample":
            return DrawnSample(cache, chips, seed, code_version)
        case "local":
            return LocalFolder(path)
        case "kaggle":
            return KaggleSource(cache, kaggle)
    raise SourceError(f"dataset.source: {kind!r} is none of sample, local, kaggle")


def fetch_local(path: str) -> Path:
    """Return the folder `path`, which is never written.

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
