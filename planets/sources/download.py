"""One large file over HTTP: resumed after a cut, checked against what the server promised."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from requests import RequestException, Response
from requests.exceptions import ConnectionError as ConnectionBroken
from urllib3.exceptions import HTTPError as BrokenBody

from planets.sources import BadDownload
from planets.sources.http_errors import reason, wait_before_retry
from planets.sources.remote_file import Offer
from planets.system import ByteProgress, Say, megabytes, reports_full_disk, require_space

TIMEOUT = (10.0, 60.0)
"""Seconds for the connection, and for the next bytes of the body."""

TRIES = 5
"""So many in a row may bring nothing."""

_CHUNK = 1 << 18
_PART = 206
_OUT_OF_RANGE = 416


class Broken(ConnectionBroken):
    """A body ended before its time."""


def download(file: Path, ask: Callable[[], Offer], say: Say, first_wait: float = 1.0) -> None:
    """Download what `ask` offers to `file`, unless it is there; go on from the bytes that are.

    `ask` is called before each try: an address that has expired is thus replaced. Beside the file,
    `<file>.json` says of what its bytes are; bytes of something else are thrown away.

    Raises:
        DiskFull: it does not fit; what has arrived is kept.
        BadDownload: size or checksum is not what was promised; nothing is kept.
        RequestException: `TRIES` tries in a row brought nothing; what has arrived is kept.
    """
    fruitless = 0
    while True:
        offer = ask()
        have = _held(file, offer)
        if offer.size is not None:
            require_space(file.parent, offer.size - have, "the download")
        try:
            _receive(file, offer, have, say)
            break
        except RequestException as error:
            got = file.stat().st_size if file.exists() else 0
            fruitless = 0 if got > have else fruitless + 1
            wait = wait_before_retry(error, max(fruitless, 1), first_wait)
            if fruitless == TRIES or wait is None:
                raise
            say(f"the download broke off after {megabytes(got)} ({reason(error)}); again in {wait:.0f} s")
            time.sleep(wait)
        except BadDownload:
            file.unlink(missing_ok=True)
            raise
    _verify(file, offer, say)


def _held(file: Path, offer: Offer) -> int:
    """How many bytes of `file` are of the offered one; all others are removed."""
    note = file.with_name(f"{file.name}.json")
    identity = json.dumps(offer.identity())
    size = file.stat().st_size if file.exists() else 0
    known = note.exists() and note.read_text(encoding="utf-8") == identity
    if known and offer.validator and offer.size is not None and size <= offer.size:
        return size
    file.unlink(missing_ok=True)
    note.write_text(identity, encoding="utf-8")
    return 0


def _receive(file: Path, offer: Offer, have: int, say: Say) -> None:
    """Append the bytes from `have` on to `file`, or all of them where the server knows no ranges."""
    if have == offer.size:
        return
    with _open(offer, have) as response, reports_full_disk(file.parent):
        start = _start(response, offer, have)
        if start:
            say(f"{megabytes(start)} of {file.name} are here already")
        elif have:
            say(
                f"the server sends {file.name} from its beginning: it knows no ranges, or the file is another"
            )
        lines = ByteProgress(file.name, offer.size, say)
        done = start
        with file.open("ab" if start else "wb") as out:
            for chunk in _chunks(response):
                out.write(chunk)
                done += len(chunk)
                lines(done)


def _open(offer: Offer, have: int) -> Response:
    """Ask again what was asked, for the part that is missing."""
    request = offer.request.copy()
    # The bytes count as they lie on the server; compressed ones could not be gone on from.
    request.headers["Accept-Encoding"] = "identity"
    if have:
        request.headers.update({"Range": f"bytes={have}-", "If-Range": offer.validator})
    session = requests.Session()
    environment = session.merge_environment_settings(request.url or "", {}, True, None, None)
    response = session.send(request, timeout=TIMEOUT, **environment)
    if response.status_code != _OUT_OF_RANGE:
        response.raise_for_status()
    return response


def _start(response: Response, offer: Offer, have: int) -> int:
    """The place of the answer's first byte. Raises BadDownload when it is not the one that was asked for."""
    if response.status_code == _OUT_OF_RANGE:
        raise BadDownload(
            f"the server promised {offer.size:,} bytes and has no more than {have:,}; "
            "run again later, or download the data by hand"
        )
    if response.status_code != _PART:
        return 0
    sent = response.headers.get("Content-Range", "")
    if sent != f"bytes {have}-{(offer.size or 0) - 1}/{offer.size}":
        raise BadDownload(
            f"bytes from {have:,} of {offer.size:,} were asked for, {sent!r} were sent; run again later"
        )
    return have


def _chunks(response: Response) -> Iterator[bytes]:
    """The body as it comes. Raises Broken when it ends too early or nothing comes for long."""
    try:
        yield from response.raw.stream(_CHUNK, decode_content=False)
    except BrokenBody as error:
        raise Broken(reason(error)) from error


def _verify(file: Path, offer: Offer, say: Say) -> None:
    try:
        compared = offer.verify(file)
    except BadDownload:
        file.unlink()
        raise
    say(f"{file.name} is complete: {', '.join(compared) or 'no size'} as promised")
