"""A Kaggle dataset as a source of chips: its newest version, downloaded and unpacked once per host."""

import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from filelock import FileLock
from requests import RequestException

from planets.archive.layout import CHIPS, SUBMISSION, TABLE, TEST_CHIPS, locate
from planets.sources.download import download
from planets.sources.http_errors import NoCredentials, NoNetwork, refusal
from planets.sources.kaggle_account import Account, Release
from planets.sources.unpack import unpack
from planets.system import Say

_LABEL = re.compile(r"v\d+|\d{8}T\d{6}")


@dataclass(frozen=True)
class KaggleSource:
    """The dataset `owner/name`; `cache` is a folder of this host that its workers share.

    `first_wait` is the time in seconds before the first try again of what failed.
    """

    cache: Path
    dataset: str
    say: Say = print
    first_wait: float = 1.0

    @cached_property
    def account(self) -> Account:
        """The account by which Kaggle is asked."""
        return Account(self.dataset, self.say, self.first_wait)

    @cached_property
    def release(self) -> Release:
        """The newest version; where Kaggle cannot be asked, the newest that lies here, and that is said.

        Raises:
            SourceError: one of its kinds; Kaggle does not answer, or refuses, and none was downloaded here.
        """
        try:
            return self.account.release()
        except (NoNetwork, NoCredentials) as error:
            there = self._downloaded()
            if there is None:
                raise
            self.say(f"{error}\nuntil then {there.label}, which was downloaded here before, is used")
            return there

    def stamp(self) -> str:
        """Names the content without having it."""
        return f"kaggle {self.dataset} {self.release.label}"

    def fetch(self) -> Path:
        """The folder of the release, downloaded and unpacked unless it is there.

        Raises:
            SourceError: one of its kinds; the message says what to do.
            ArchiveError: the archive holds no chips.
        """
        folder = self._folder(self.release)
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache / f"{self._prefix}.lock"):
            if not folder.exists():
                self._download(folder)
        return folder

    @property
    def _prefix(self) -> str:
        return f"kaggle-{self.dataset.replace('/', '-')}"

    def _folder(self, release: Release) -> Path:
        return self.cache / f"{self._prefix}-{release.label}"

    def _downloaded(self) -> Release | None:
        """The newest of the releases that lie here."""
        found = [
            (folder.stat().st_mtime, Release(self.dataset, label))
            for folder in self.cache.glob(f"{self._prefix}-*")
            if folder.is_dir() and _LABEL.fullmatch(label := folder.name.removeprefix(f"{self._prefix}-"))
        ]
        return max(found, key=lambda each: each[0])[1] if found else None

    def _download(self, folder: Path) -> None:
        archive = folder.with_name(f"{folder.name}.zip")
        for left in self.cache.glob(f".{folder.name}-*"):
            shutil.rmtree(left)  # of an unpacking that was killed; its archive is downloaded to the end again
        self.say(f"downloading {self.stamp()} to {self.cache}")
        try:
            download(archive, lambda: self.account.archive(self.release), self.say, self.first_wait)
        except RequestException as error:
            # The cause stays out of the log: its message can hold a signed address.
            raise refusal(error, self.dataset) from None
        unpack(archive, folder, is_needed, locate, self.say)
        archive.with_name(f"{archive.name}.json").unlink()


def is_needed(path: PurePosixPath) -> bool:
    """Whether a member is for this project: pictures to train on and to predict, and the two tables."""
    folders = {CHIPS, *TEST_CHIPS}
    return path.name in (TABLE, SUBMISSION) or (path.suffix == ".jpg" and not folders.isdisjoint(path.parts))
