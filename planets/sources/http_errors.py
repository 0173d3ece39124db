"""What a failed request means to a person, and whether it is worth another try."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from requests import RequestException, Response
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout

from planets.sources import SourceError

BY_HAND = "or download the data by hand and use DATASET_SOURCE=local DATASET_PATH=/its/folder"
NEW_TOKEN = (
    "make a new token at https://www.kaggle.com/settings and put it where the old one was (KAGGLE_API_TOKEN, "
    "or KAGGLE_USERNAME and KAGGLE_KEY, in the environment, .env.local or ~/.kaggle)"
)
PASSING = (429, 500, 502, 503, 504)
"""Statuses that may be other ones a moment later."""

LONGEST_WAIT = 120.0
"""Seconds. A server that asks for more is told of, and not waited for."""


class NoCredentials(SourceError):
    """This environment holds no Kaggle credentials."""


class CredentialsRefused(SourceError):
    """Kaggle rejects the credentials."""


class TermsNotAccepted(SourceError):
    """The account may not read the dataset, usually because it has not accepted the terms."""


class UnknownDataset(SourceError):
    """Kaggle has no dataset of this name."""


class TooManyRequests(SourceError):
    """Kaggle asks for a longer wait than a worker should spend."""


class NoNetwork(SourceError):
    """Kaggle, or the storage it redirects to, is unreachable."""


def refusal(error: RequestException, dataset: str) -> SourceError:
    """The error of ours that says what `error` means for the Kaggle dataset `owner/name`, and what to do."""
    status = _status(error)
    told = f"Kaggle answers {status} for {dataset!r} ({reason(error)})"
    page = f"https://www.kaggle.com/datasets/{dataset}"
    match status:
        case 0:
            return NoNetwork(
                f"Kaggle cannot be reached ({reason(error)}); check the network, the proxy (HTTPS_PROXY) and "
                f"the certificates (REQUESTS_CA_BUNDLE) of this worker, {BY_HAND}"
            )
        case 401:
            return CredentialsRefused(f"{told}: the credentials are not accepted; {NEW_TOKEN}")
        case 403:
            return TermsNotAccepted(
                f"{told}: open {page} with this account and accept the terms there; if the page does not "
                f"show, the dataset is private or dataset.kaggle is misspelt; {BY_HAND}"
            )
        case 404:
            return UnknownDataset(
                f"{told}: there is no such dataset; set dataset.kaggle to the owner/name of its page {page}"
            )
        case 429:
            return TooManyRequests(f"{told}: too many requests{_when(error)}; run again later, {BY_HAND}")
    return SourceError(f"{told}; run again later, {BY_HAND}")


def wait_before_retry(error: RequestException, attempt: int, first_wait: float) -> float | None:
    """Seconds to wait after the failure of try `attempt`, counted from 1; None: another try has no point.

    A `Retry-After` counts; without one the waits double.
    """
    if _status(error) not in (0, *PASSING):
        return None
    asked = retry_after(error.response)
    wait = first_wait * 2 ** (attempt - 1) if asked is None else asked
    return wait if wait <= LONGEST_WAIT else None


def retry_after(response: Response | None) -> float | None:
    """The seconds that the header `Retry-After` asks for, as a number or as a date; None without it."""
    text = response.headers.get("Retry-After", "") if response is not None else ""
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def reason(error: BaseException) -> str:
    """The cause of a failure, without addresses: that of a download holds a signature."""
    if isinstance(error, Timeout):
        return "no answer in time"
    if isinstance(error, RequestException) and error.response is not None:
        return _servers_words(error)
    while error.args and isinstance(inner := getattr(error.args[0], "reason", error.args[0]), BaseException):
        error = inner
    if error.__cause__ is not None:
        return reason(error.__cause__)
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return type(error).__name__ if "://" in words or "url" in words else words or type(error).__name__


def _servers_words(error: RequestException) -> str:
    """What the server said: Kaggle's message, or else the status in words."""
    response = error.response
    assert response is not None
    if "json" in response.headers.get("Content-Type", "") and error.args and response.url not in str(error):
        return str(error.args[0])
    return response.reason or "no reason given"


def _status(error: RequestException) -> int:
    """The status of the answer; 0 when none came."""
    if error.response is not None:
        return error.response.status_code
    return 0 if isinstance(error, NoConnection | Timeout) else -1


def _when(error: RequestException) -> str:
    asked = retry_after(error.response)
    return "" if asked is None else f", it asks to wait {asked / 60:.0f} minutes"
