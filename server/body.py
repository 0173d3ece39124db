"""Request bodies: bounded, decompressed, parsed; whatever is wrong with one is a 400, never a crash."""

import json
import zlib
from typing import NoReturn

from starlette.requests import Request

from server.documents import Document
from server.errors import BadRequest, BodyTooLarge, InvalidArgument

LARGEST = 64 * 2**20
DEEPEST = 200
BATCH_TYPES = frozenset({"application/json-lines", "application/x-ndjson"})


async def read_body(request: Request) -> bytes:
    """The whole body, decompressed; raises BodyTooLarge beyond LARGEST bytes of either form."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST:
            raise BodyTooLarge(f"Request body larger than {LARGEST} bytes")
        chunks.append(chunk)
    body = b"".join(chunks)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    return body if encoding == "identity" or not body else _decompressed(body, encoding)


def is_batch(request: Request) -> bool:
    """Whether the body is JSON lines."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() in BATCH_TYPES


def parse_object(text: bytes) -> Document:
    """One JSON object; nothing at all counts as an empty one."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse)
        if text.count(b"[") + text.count(b"{") > DEEPEST:
            _check_depth(value)
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON body: {error!s:.200}") from error
    if not isinstance(value, dict):
        raise InvalidArgument("Validation error: the body must be a JSON object")
    return value


def parse_lines(body: bytes) -> list[bytes]:
    """The lines of a batch that hold anything, not parsed yet."""
    return [line for line in body.split(b"\n") if line.strip()]


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadRequest(f"Unsupported content encoding: {encoding:.40}")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        data = inflater.decompress(body, LARGEST + 1)
    except zlib.error as error:
        raise BadRequest(f"Invalid {encoding} body: {error}") from error
    if len(data) > LARGEST:
        raise BodyTooLarge(f"Request body larger than {LARGEST} bytes when decompressed")
    return data


def _check_depth(value: object) -> None:
    # SQLite's JSON functions give up at 1000 levels; no document of a client comes near this limit.
    layer = [value]
    for _ in range(DEEPEST):
        layer = [child for item in layer for child in _children(item)]
        if not layer:
            return
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
