"""Kaggle's API by its own client: signing in, the version of a dataset, the address of its archive."""

import contextlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from multiprocessing import TimeoutError as NotInTime
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeVar

from requests import RequestException, Timeout

from planets.sources.http_errors import (
    BY_HAND,
    NEW_TOKEN,
    CredentialsRefused,
    NoCredentials,
    reason,
    refusal,
    wait_before_retry,
)
from planets.sources.remote_file import Offer
from planets.system import Say

TRIES = 4
ANSWER_SECONDS = 60.0
"""Kaggle's client itself waits for an answer without end."""

T = TypeVar("T")


@dataclass(frozen=True)
class Release:
    """One version of a Kaggle dataset `owner/name`; a version never changes. `label` names it."""

    dataset: str
    label: str


class Account:
    """A signed-in account; every call says in its error what to do."""

    def __init__(self, dataset: str, say: Say, first_wait: float = 1.0) -> None:
        """Sign in for the sake of `dataset`, with the credentials of this environment.

        Raises:
            NoCredentials: there are none.
            CredentialsRefused, NoNetwork, TooManyRequests: it does not take them, or does not answer.
        """
        require_credentials()
        self._dataset, self._say, self._first_wait = dataset, say, first_wait
        self._api: Any = self._ask(_sign_in)

    def release(self) -> Release:
        """The newest version of the dataset.

        Raises:
            SourceError: one of its kinds; the message says what Kaggle answered and what to do.
        """
        from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

        request = self._addressed(ApiGetDatasetRequest())

        def ask() -> Any:
            with self._api.build_kaggle_client() as kaggle:
                return kaggle.datasets.dataset_api_client.get_dataset(request)

        found = self._ask(ask)
        number = found.current_version_number
        return Release(self._dataset, f"v{number}" if number else f"{found.last_updated:%Y%m%dT%H%M%S}")

    def archive(self, release: Release) -> Offer:
        """What Kaggle offers as the zip archive of `release`; the errors are those of `release`."""
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = self._addressed(ApiDownloadDatasetRequest())
        if release.label.startswith("v"):
            request.dataset_version_number = int(release.label[1:])

        def ask() -> Offer:
            with self._api.build_kaggle_client() as kaggle:
                response = kaggle.datasets.dataset_api_client.download_dataset(request)
                response.close()
            return Offer.of(response)

        return self._ask(ask)

    def _addressed(self, request: Any) -> Any:
        request.owner_slug, request.dataset_slug = self._dataset.split("/")
        return request

    def _ask(self, call: Callable[[], T]) -> T:
        """Call, and call again where that may help: nothing answers, or Kaggle is busy."""
        for attempt in count(1):
            try:
                return _in_time(call)
            except RequestException as error:
                wait = wait_before_retry(error, attempt, self._first_wait)
                if wait is None or attempt == TRIES:
                    # The cause stays out of the log: its message can hold a signed address.
                    raise refusal(error, self._dataset) from None
                self._say(f"Kaggle: {reason(error)}; asking again in {wait:.0f} s")
                time.sleep(wait)
        raise AssertionError("unreachable: count() does not end")


def require_credentials() -> None:
    """See that there are credentials, without asking whether they are good. Raises NoCredentials."""
    by_name = {"KAGGLE_USERNAME", "KAGGLE_KEY"}
    places = [folder / name for folder in _folders() for name in FILES]
    given = {name for name, value in os.environ.items() if value}
    if by_name <= given or "KAGGLE_API_TOKEN" in given or any(place.is_file() for place in places):
        return
    half = sorted(by_name & given)
    seen = f"{half[0]} is set and {(by_name - given).pop()} is not" if half else "no Kaggle credentials here"
    raise NoCredentials(
        f"{seen}: make a token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN, or "
        "KAGGLE_USERNAME and KAGGLE_KEY, in the environment or in .env.local (workers that run already do "
        f"not see it: `make down` first), or put kaggle.json into {_folders()[0]}; {BY_HAND}"
    )


FILES = ("kaggle.json", "access_token", "access_token.txt", "credentials.json")
"""What Kaggle's client and its `kaggle auth login` leave in their folder."""


def _folders() -> list[Path]:
    """Where Kaggle's client looks."""
    home = Path.home()
    named = os.environ.get("KAGGLE_CONFIG_DIR")
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [*([Path(named)] if named else []), home / ".kaggle", settings / "kaggle"]


def _sign_in() -> Any:
    """A client of Kaggle's own, signed in. Refused, the package would print advice and end the process."""
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi  # signs in as it is imported

        api = KaggleApi()
        api.authenticate()
    except SystemExit:
        raise CredentialsRefused(
            f"Kaggle does not accept these credentials (expired or revoked); {NEW_TOKEN}"
        ) from None
    return api


def _in_time(call: Callable[[], T]) -> T:
    """What `call` returns or raises, or Timeout after `ANSWER_SECONDS`; what it prints is not shown."""
    with contextlib.redirect_stdout(io.StringIO()), ThreadPool(1) as pool:
        try:
            return pool.apply_async(call).get(ANSWER_SECONDS)
        except NotInTime:
            raise Timeout from None
