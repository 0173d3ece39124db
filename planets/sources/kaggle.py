"""A Kaggle dataset as a source of chips: its newest version, downloaded by Kaggle's client once per host."""

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import TimeoutError as CallTimeout
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import stamina
from filelock import FileLock
from requests import RequestException, Response, Timeout
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import InvalidHeader as InvalidRetryAfter
from urllib3.util import Retry

from planets.archive.layout import CHIPS, SUBMISSIONS, TABLES, TEST_CHIPS, is_chip, locate
from planets.sources import BadDownload, SourceError
from planets.sources.kaggle_credentials import (
    BY_HAND,
    NEW_TOKEN,
    CredentialsRefused,
    NoCredentials,
    require_credentials,
)
from planets.sources.unpack import unpack, verify_checksums
from planets.system import (
    PROGRESS_SECONDS,
    ProgressLines,
    Say,
    megabytes,
    reports_full_disk,
    require_space,
)

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes; Kaggle's client itself waits without limit."""

SIGN_IN_SECONDS = 60.0

ATTEMPTS = 6
"""Attempts of one call or download; each download attempt resumes the one before."""

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for a longer wait ends the step with a message instead."""

_VERSION = re.compile(r"v\d+|\d{8}T\d{6}")

T = TypeVar("T")


class TermsNotAccepted(SourceError):
    """The account may not read the dataset, usually because it has not accepted the terms."""


class UnknownDataset(SourceError):
    """Kaggle has no dataset of this name."""


class Unavailable(SourceError):
    """Kaggle cannot serve the request now; `wait` is the pause in seconds that it asks for, if any."""

    wait: float | None = None


class TooManyRequests(Unavailable):
    """Kaggle limits the rate of requests."""


class NoNetwork(Unavailable):
    """Kaggle, or the storage it redirects to, is unreachable."""


@dataclass(frozen=True)
class KaggleSource:
    """The dataset `owner/name`.

    Attributes:
        cache: folder shared by all workers of this host.
        dataset: `owner/name` on Kaggle.
        say: receives progress lines.
        first_wait: seconds before the first retry; further waits double.
    """

    cache: Path
    dataset: str
    say: Say = print
    first_wait: float = 1.0

    def stamp(self) -> str:
        """Return dataset and version, which identify the content without downloading it."""
        return f"kaggle {self.dataset} {self.version}"

    def fetch(self) -> Path:
        """Return the folder of the newest version, downloaded and unpacked unless it exists.

        Raises:
            SourceError: Kaggle refuses or fails, or the download is damaged; the message says what to do.
            ArchiveError: the archive holds no chips.
            DiskFull: too little free space.
        """
        folder = self.cache / f"{self._prefix}-{self.version}"
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache / f"{self._prefix}.lock"):
            if not folder.exists():
                archive = folder.with_name(f"{folder.name}.zip")
                self.say(f"downloading {self.stamp()} to {self.cache}")
                self._call(lambda: self._download(archive))
                unpack(archive, folder, is_needed, locate, self.say)
        return folder

    @cached_property
    def version(self) -> str:
        """Newest version, such as `v3`; offline or without credentials, the newest one on this host.

        Raises:
            SourceError: Kaggle refuses, or is unreachable and no version was downloaded before.
        """
        try:
            return self._call(self._newest_version)
        except (NoNetwork, NoCredentials) as error:
            downloaded = self._newest_downloaded()
            if downloaded is None:
                raise
            self.say(f"{error}\nusing {downloaded}, which was downloaded before")
            return downloaded

    @property
    def _prefix(self) -> str:
        return f"kaggle-{self.dataset.replace('/', '-')}"

    @cached_property
    def _api(self) -> Any:
        return sign_in()

    def _newest_version(self) -> str:
        from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

        with self._client() as client:
            remote = client.datasets.dataset_api_client.get_dataset(self._request(ApiGetDatasetRequest()))
        number = remote.current_version_number
        return f"v{number}" if number else f"{remote.last_updated:%Y%m%dT%H%M%S}"

    def _newest_downloaded(self) -> str | None:
        versions = {
            folder.name.removeprefix(f"{self._prefix}-"): folder.stat().st_mtime
            for folder in self.cache.glob(f"{self._prefix}-*")
            if folder.is_dir()
        }
        known = [version for version in versions if _VERSION.fullmatch(version)]
        return max(known, key=versions.__getitem__, default=None)

    def _download(self, archive: Path) -> None:
        """Download the version's zip archive; resume a partial download of the same remote file.

        Kaggle's client keeps the remote file's identity beside a partial one, and discards bytes of another.
        """
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = self._request(ApiDownloadDatasetRequest())
        if self.version.startswith("v"):
            request.dataset_version_number = int(self.version[1:])
        with self._client() as client:
            response = client.datasets.dataset_api_client.download_dataset(request)
            with contextlib.closing(response):
                size = int(response.headers.get("Content-Length", 0))
                held = archive.stat().st_size if archive.exists() else 0
                # JPEG files do not compress: the unpacked chips take as much space again.
                require_space(self.cache, 2 * size - held, "the download with its unpacked chips")
                with reports_full_disk(self.cache), _reporting(archive, size, self.say):
                    if self._api.download_needed(response, str(archive)):
                        self._receive(response, archive, client.http_client())
                verified = verify_checksums(archive, size, response.headers.get("x-goog-hash", ""))
        self.say(f"{archive.name} is complete, {megabytes(size)}: {', '.join(verified)} verified")

    def _receive(self, response: Response, archive: Path, http_client: Any) -> None:
        # Without the client's own retries: they repeat a full disk, and keep an expired address.
        options = {
            "quiet": True,
            "resume": True,
            "chunk_size": 1 << 16,
            "max_retries": 0,
            "timeout": TIMEOUT,
        }
        try:
            self._api.download_file(response, str(archive), http_client, **options)
        except ValueError as error:  # raised for a size that differs from the announced one
            archive.unlink()
            raise BadDownload(
                f"{archive.name} arrived damaged ({error}); it was deleted: run again"
            ) from error

    def _request(self, request: Any) -> Any:
        request.owner_slug, request.dataset_slug = self.dataset.split("/")
        return request

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        with self._api.build_kaggle_client() as client:
            client.http_client()._session.mount("https://", _Timeouts())
            yield client

    def _call(self, call: Callable[[], T]) -> T:
        """Call Kaggle, again where a retry may help, and turn its failures into errors of ours."""

        def backoff(error: Exception) -> bool | float:
            if not isinstance(error, Unavailable) or error.wait is None:
                return isinstance(error, Unavailable)
            return error.wait if error.wait <= LONGEST_WAIT else False

        for attempt in stamina.retry_context(
            on=backoff,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=self.first_wait,
            wait_max=LONGEST_WAIT,
            wait_jitter=self.first_wait,
        ):
            with attempt:
                try:
                    return call()
                except (RequestException, TransportError) as error:
                    # The cause stays out of logs: its message may hold a signed address or a token.
                    raise self._translated(error) from None
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _translated(self, error: RequestException | TransportError) -> SourceError:
        """Return the error that explains a failed request and its fix."""
        if isinstance(error, InvalidHeader):
            return CredentialsRefused(f"the Kaggle credentials hold illegal characters; {NEW_TOKEN}")
        response = getattr(error, "response", None)
        if response is None:
            return NoNetwork(
                f"Kaggle cannot be reached ({_cause(error)}); check the network, the proxy (HTTPS_PROXY) and "
                f"the certificates (REQUESTS_CA_BUNDLE) of this worker, {BY_HAND}"
            )
        status, page = response.status_code, f"https://www.kaggle.com/datasets/{self.dataset}"
        answer = f"Kaggle answers {status} for {self.dataset!r} ({_server_message(error, response)})"
        match status:
            case 401:
                return CredentialsRefused(f"{answer}: the credentials are not accepted; {NEW_TOKEN}")
            case 403:
                return TermsNotAccepted(
                    f"{answer}: open {page} with this account and accept the terms there; if the page does "
                    f"not show, the dataset is private or dataset.kaggle is misspelt; {BY_HAND}"
                )
            case 404:
                return UnknownDataset(
                    f"{answer}: no such dataset; set dataset.kaggle to the owner/name of its page {page}"
                )
        wait = _retry_after(response)
        pause = f", it asks to wait {wait / 60:.0f} minutes" if wait else ""
        if status == 429:
            refused: Unavailable = TooManyRequests(
                f"{answer}: too many requests{pause}; run again later, {BY_HAND}"
            )
        elif status >= 500:
            refused = Unavailable(f"{answer}{pause}; run again later, {BY_HAND}")
        else:
            return SourceError(f"{answer}; run again later, {BY_HAND}")
        refused.wait = wait
        return refused


def is_needed(path: PurePosixPath) -> bool:
    """Return True for the archive's members that this project uses: chips and the two tables."""
    folders = {CHIPS, *TEST_CHIPS}
    is_table = path.name in (*TABLES, *SUBMISSIONS)
    return is_table or (is_chip(path.name) and not folders.isdisjoint(path.parts))


def sign_in() -> Any:
    """Return a signed-in client, a `KaggleApi`.

    Raises:
        NoCredentials: there are no credentials.
        CredentialsRefused: Kaggle does not accept them.
        RequestException: Kaggle does not answer in time.
    """
    require_credentials()

    def authenticate() -> Any:
        from kaggle.api.kaggle_api_extended import KaggleApi  # signs in as it is imported

        api = KaggleApi()
        try:
            api.authenticate()
        except SystemExit:  # here: it would end the pool's thread without a result
            raise CredentialsRefused(
                f"Kaggle does not accept these credentials (expired or revoked); {NEW_TOKEN}"
            ) from None
        return api

    # The client prints advice on standard output, ends the process, and has no timeout.
    with contextlib.redirect_stdout(io.StringIO()), ThreadPool(1) as pool:
        try:
            return pool.apply_async(authenticate).get(SIGN_IN_SECONDS)
        except CallTimeout:
            raise Timeout from None


class _Timeouts(HTTPAdapter):
    """Gives requests without a timeout the default one."""

    def send(self, *arguments: Any, **options: Any) -> Response:
        """Send a request; see `HTTPAdapter.send`."""
        options["timeout"] = options.get("timeout") or TIMEOUT
        return super().send(*arguments, **options)


@contextlib.contextmanager
def _reporting(file: Path, size: int, say: Say) -> Iterator[None]:
    """Report the growth of a file while the block writes it; Kaggle's own progress bar fills a log."""
    progress, done = ProgressLines(file.name, size or None, say, megabytes, None), threading.Event()

    def watch() -> None:
        while not done.wait(PROGRESS_SECONDS):
            progress(file.stat().st_size if file.exists() else 0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _retry_after(response: Response) -> float | None:
    """Return the seconds of the `Retry-After` header, given as a number or a date; None without one."""
    try:
        return float(Retry().parse_retry_after(response.headers["Retry-After"]))
    except (KeyError, InvalidRetryAfter):
        return None


def _server_message(error: Exception, response: Response) -> str:
    """Return Kaggle's own message, or the status in words; never an address."""
    if "json" in response.headers.get("Content-Type", "") and error.args and response.url not in str(error):
        return str(error.args[0])
    return response.reason or "no reason given"


def _cause(error: BaseException) -> str:
    """Return the innermost cause of a connection failure, without addresses: those hold a signature."""
    if isinstance(error, Timeout):
        return "no answer in time"
    while error.args and isinstance(inner := getattr(error.args[0], "reason", error.args[0]), BaseException):
        error = inner
    if error.__cause__ is not None:
        return _cause(error.__cause__)
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return type(error).__name__ if "://" in words or "url" in words else words or type(error).__name__
