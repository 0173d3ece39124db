"""Static files of the page: compressed once, and sent again only after they have changed."""

import gzip
import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

REVALIDATED = "no-cache"
"""A browser asks each time whether its copy is still good; the answer to that has no body."""


@lru_cache(maxsize=32)
def _packed(path: Path, _changed: int) -> tuple[str, bytes]:
    """Return the entity tag and the compressed content of a file."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:24]
    return f'"{digest}"', gzip.compress(content, compresslevel=6, mtime=0)


def asset(path: Path, request: Request) -> Response:
    """Return a file for the browser: 304 if it has it, compressed if it reads that.

    Raises:
        OSError: The file cannot be read.
    """
    tag, packed = _packed(path, path.stat().st_mtime_ns)
    headers = {"etag": tag, "cache-control": REVALIDATED, "vary": "accept-encoding"}
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        return Response(status_code=304, headers=headers)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=kind, headers=headers | {"content-encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type=kind, headers=headers)
