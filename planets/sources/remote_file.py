"""What a server says of a file before it sends it: size, identity and checksums."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
from requests import PreparedRequest, Response

from planets.sources import BadDownload

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Offer:
    """A file on offer.

    Attributes:
        request: what was asked, on the last hop of all redirects: to be asked again for a part of the file.
        size: bytes; None where the server does not say it.
        validator: strong ETag, or else the date of the last change: with `If-Range` a server honours it.
        md5, crc32c: checksums in hexadecimal; empty where the server gives none.
    """

    request: PreparedRequest = field(compare=False)
    size: int | None
    validator: str
    md5: str
    crc32c: str

    @classmethod
    def of(cls, response: Response) -> "Offer":
        """Read the headers of an answer whose body is not read."""
        headers = response.headers
        size = headers.get("Content-Length", "")
        etag = headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else ""
        sums = dict(
            part.strip().split("=", 1) for part in headers.get("x-goog-hash", "").split(",") if "=" in part
        )
        return cls(
            request=response.request.copy(),
            size=int(size) if size.isdigit() else None,
            validator=strong or headers.get("Last-Modified", ""),
            md5=_hexadecimal(headers.get("Content-MD5") or sums.get("md5", "")),
            crc32c=_hexadecimal(sums.get("crc32c", "")),
        )

    def identity(self) -> dict[str, object]:
        """What tells this file from another one at the same address, as a JSON object."""
        return {"size": self.size, "validator": self.validator, "md5": self.md5, "crc32c": self.crc32c}

    def verify(self, file: Path) -> list[str]:
        """See that `file` is what was offered; return the names of what could be compared.

        Raises:
            BadDownload: size or a checksum differs.
        """
        found = {"size": file.stat().st_size, **_sums(file, md5=bool(self.md5), crc32c=bool(self.crc32c))}
        promised = {
            name: value for name, value in self.identity().items() if name in found and value is not None
        }
        for name, value in promised.items():
            if found[name] != value:
                raise BadDownload(
                    f"{file.name} arrived damaged: its {name} is {found[name]}, the server said {value}; "
                    "it is thrown away: run again"
                )
        return list(promised)


def _sums(file: Path, md5: bool, crc32c: bool) -> dict[str, str]:
    """The checksums that are asked for, in hexadecimal, in one pass; nothing is read for none."""
    sums = {"md5": hashlib.md5(usedforsecurity=False)} if md5 else {}
    if crc32c:
        sums["crc32c"] = google_crc32c.Checksum()
    if sums:
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                for each in sums.values():
                    each.update(block)
    return {name: each.digest().hex() for name, each in sums.items()}


def _hexadecimal(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return ""
