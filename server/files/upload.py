"""Multipart uploads, streamed to disk so that memory stays bounded."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.errors import BadRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONGEST_HEADER = 16 * 2**10


class Upload:
    """One multipart body; each part becomes a draft file.

    Call ``receive``, move the drafts of ``parts`` to their places, then ``discard`` the rest.
    """

    def __init__(self, content_type: str, folder: Path) -> None:
        """Write drafts to ``folder``.

        Raises:
            BadRequest: ``content_type`` is not multipart/form-data with a boundary.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise BadRequest("An upload must be multipart/form-data with a boundary")
        self.parts: list[tuple[str, Path]] = []
        self._folder = folder
        self._stream: BinaryIO | None = None
        self._field = b""
        self._value = b""
        self._disposition = b""
        self._complete = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise BadRequest(f"Invalid boundary: {error!s:.200}") from error

    async def receive(self, chunks: AsyncIterator[bytes]) -> None:
        """Write all parts to drafts; raises BadRequest for a malformed or incomplete body."""
        try:
            async for chunk in chunks:
                self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest(f"Invalid multipart body: {error!s:.200}") from error
        if not self._complete:
            raise BadRequest("The multipart body ends too early")
        # Checkpoints must survive a power cut: sync to disk before acknowledging.
        await asyncio.to_thread(self._sync)

    def discard(self) -> None:
        """Remove the drafts that were not moved."""
        if self._stream:
            with contextlib.suppress(OSError):  # closing fails on a full disk, too
                self._stream.close()
        for _, draft in self.parts:
            draft.unlink(missing_ok=True)

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_part_end": self._close,
            "on_end": self._finish,
        }

    def _sync(self) -> None:
        for _, draft in self.parts:
            with draft.open("rb") as stream:
                os.fsync(stream.fileno())

    def _begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._check_length(self._field)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_length(self._value)

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        try:
            name = options.get(b"name", b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRequest("The name of the field is not UTF-8") from error
        descriptor, draft = mkstemp(dir=self._folder)
        self._stream = os.fdopen(descriptor, "wb")
        self.parts.append((name, Path(draft)))

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._stream:
            self._stream.write(data[start:end])

    def _close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None

    def _finish(self) -> None:
        self._complete = True

    def _check_length(self, text: bytes) -> None:
        if len(text) > LONGEST_HEADER:
            raise BadRequest("A header of the multipart body is too long")
