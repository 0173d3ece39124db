"""Requests: bodies read within limits, arguments read by name and type."""

import json
import re
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NoReturn, TypeVar

from starlette.requests import ClientDisconnect, Request

from server.documents import Document
from server.errors import ApiError, BadRequest, InvalidArgument

LARGEST_BODY = 32 * 2**20
DEEPEST = 200
BATCH_TYPES = frozenset({"application/json-lines", "application/x-ndjson"})


class BodyTooLarge(ApiError, code=413):
    """The body exceeds the server's limit."""


class ClientGone(BadRequest):
    """The client hung up; nobody reads the answer."""


class MissingArgument(BadRequest, subcode=11):
    """A required argument is missing."""


async def read_body(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """Return the whole body, decompressed.

    Raises:
        BodyTooLarge: It exceeds ``largest`` bytes, before or after decompression. A length that says so is
            refused before anything is read.
        BadRequest: The content encoding is unknown or the compressed data is damaged.
        ClientGone: The client hung up before it had sent everything.
    """
    too_large = BodyTooLarge(f"The request body is larger than {largest / 2**20:.0f} MiB")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > largest:
        raise too_large
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > largest:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise ClientGone("The client hung up before it had sent the whole request") from error
    body = b"".join(chunks)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    return body if encoding == "identity" or not body else _decompressed(body, encoding, largest)


def is_batch(request: Request) -> bool:
    """Return True if the body is JSON lines."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() in BATCH_TYPES


def parse_object(text: bytes) -> Document:
    """Parse one JSON object; an empty body counts as an empty object.

    Raises:
        BadRequest: The text is not JSON in a Unicode encoding, or is nested too deep.
        InvalidArgument: The value is not an object.
    """
    if not text.strip():
        return {}
    try:
        # Decoded here because json.loads lets bytes of lone surrogates pass, which no database stores.
        decoded = text.decode(json.detect_encoding(text))
        value = json.loads(decoded, parse_constant=_refuse)
        if decoded.count("[") + decoded.count("{") > DEEPEST:
            check_depth(value)
        if "\\u" in decoded:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON body: {error!s:.200}") from error
    if not isinstance(value, dict):
        raise InvalidArgument("Validation error: the body must be a JSON object")
    return value


def parse_lines(body: bytes) -> list[bytes]:
    """Return the non-empty lines of a batch, unparsed."""
    return [line for line in body.split(b"\n") if line.strip()]


def _decompressed(body: bytes, encoding: str, largest: int) -> bytes:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadRequest(f"Unsupported content encoding: {encoding:.40}")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        data = inflater.decompress(body, largest + 1)
    except zlib.error as error:
        raise BadRequest(f"Invalid {encoding} body: {error}") from error
    if len(data) > largest:
        raise BodyTooLarge(f"The request body is larger than {largest / 2**20:.0f} MiB when decompressed")
    return data


def check_depth(value: object) -> None:
    """Raise ValueError if the value is nested deeper than DEEPEST levels."""
    # SQLite's JSON functions fail at 1000 levels; no client's document comes near DEEPEST.
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


LARGEST_INTEGER = 2**63 - 1
T = TypeVar("T")


class Arguments:
    """Typed access to the JSON object of a request; null counts as missing, as clients mean it."""

    def __init__(self, values: Document) -> None:
        """Wrap ``values``: the query string, overridden by the parsed body."""
        self._values = values

    def __contains__(self, name: str) -> bool:
        """Return True if the argument is present and not null."""
        return self._values.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the arguments that are present."""
        return (name for name, value in self._values.items() if value is not None)

    def replaced(self, name: str, value: Any) -> "Arguments":
        """Return a copy in which ``name`` is ``value``."""
        return Arguments({**self._values, name: value})

    def require(self, *names: str) -> None:
        """Raise MissingArgument for the first of ``names`` that is missing."""
        for name in names:
            if name not in self:
                raise MissingArgument(f"Missing required fields: {name}")

    def raw(self, name: str) -> Any:
        """Return the value as sent, of any type; None if missing."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """Return a required string; raises MissingArgument or InvalidArgument."""
        self.require(name)
        return self._typed(name, str, "string")

    def maybe_text(self, name: str) -> str | None:
        """Return a string, or None if missing."""
        return self.text(name) if name in self else None

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return a string that is one of ``allowed``; raises InvalidArgument for another."""
        value = self.maybe_text(name)
        if value is None:
            return default
        if value not in allowed:
            raise InvalidArgument(f"Validation error: {name}: {value!r:.80} is not one of {sorted(allowed)}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean; neither 0 nor "true" counts as one."""
        return self._typed(name, bool, "boolean") if name in self else default

    def integer(self, name: str, default: int) -> int:
        """Return a whole number of at most 64 bits; clients also send it as a string of digits or as 3.0."""
        if name not in self:
            return default
        value = self._values[name]
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:20])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST_INTEGER:
            raise wrong_type(name, "integer", value)
        return value

    def number(self, name: str) -> float:
        """Return a required number; infinity, as which 1e400 is read, is refused."""
        self.require(name)
        value = self._values[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > sys.float_info.max:
            raise wrong_type(name, "number", value)
        return float(value)

    def scroll(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match ``scroll_id``, None on the first page; raises InvalidArgument for one never issued."""
        text = self.maybe_text("scroll_id")
        if not text:
            return None
        match = pattern.fullmatch(text)
        if match is None:
            raise InvalidArgument(f"Validation error: scroll_id: {text!r:.80} was not issued by this call")
        return match

    def texts(self, name: str) -> list[str]:
        """Return a list of strings; older clients send a single string for a list of one."""
        value = self._values.get(name)
        if value is None:
            return []
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise wrong_type(name, "array of string", value)
        return items

    def values(self, name: str) -> list[str | None]:
        """Return a list of strings and nulls, which stand for "no value" in filters."""
        value = self._values.get(name)
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str | None) for item in items):
            raise wrong_type(name, "array of string", value)
        return items

    def mapping(self, name: str) -> Document:
        """Return an object, empty if missing."""
        return self._typed(name, dict, "object") if name in self else {}

    def mappings(self, name: str) -> list[Document]:
        """Return a list of objects, empty if missing."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise wrong_type(name, "array of object", value)
        return value

    def chosen(
        self, texts: Iterable[str] = (), lists: Iterable[str] = (), objects: Iterable[str] = ()
    ) -> Document:
        """Return those of the named arguments that are present; lists are sorted and without repeats."""
        chosen: Document = {name: self.text(name) for name in texts if name in self}
        chosen |= {name: sorted(set(self.texts(name))) for name in lists if name in self}
        return chosen | {name: self.mapping(name) for name in objects if name in self}

    def _typed(self, name: str, kind: type[T], word: str) -> T:
        value = self._values[name]
        if not isinstance(value, kind):
            raise wrong_type(name, word, value)
        return value


def wrong_type(name: str, expected: str, value: object) -> InvalidArgument:
    """Return the error for an argument of the wrong type, quoting the start of its value."""
    return InvalidArgument(
        f"Validation error (invalid type for field {name}): expected {expected}, got {value!r:.80}"
    )
