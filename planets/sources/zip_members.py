"""The members of a zip archive, checked by its directory alone before a byte is written."""

import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

from planets.sources import SourceError

MOST = 20
"""An archive that unpacks to more than so many times its size is a bomb: pictures do not shrink at all."""

ALLOWANCE = 64_000_000
"""So many bytes it may unpack to in any case: tables shrink well."""

_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_ENCRYPTED = 0x1


class UnsafeArchive(SourceError):
    """An archive has a member that could leave its folder, or is a zip bomb; nothing was unpacked."""


@dataclass(frozen=True)
class Member:
    """A file of an archive: its path, which stays below any folder it is put in, and its entry."""

    path: PurePosixPath
    entry: ZipInfo


def safe_members(archive: Path, entries: Sequence[ZipInfo], size: int) -> list[Member]:
    """The files among `entries` in the order of their bytes; folders are left out.

    `size` is that of the archive in bytes. The whole archive is refused for one bad member, wanted or not:
    somebody meant it.

    Raises:
        UnsafeArchive: a path that is absolute or leaves its folder, a link or device, a name that is there
            twice, a file where another has its folder, members that overlap, a bomb, an encrypted member.
    """
    files = [entry for entry in entries if not entry.is_dir()]
    members = [Member(_path(archive, entry), entry) for entry in files]
    for member in members:
        _require_plain(archive, member.entry)
    _require_distinct(archive, [member.path for member in members])
    members.sort(key=lambda member: member.entry.header_offset)
    _require_apart(archive, members)
    unpacked = sum(entry.file_size for entry in files)
    if unpacked > MOST * size + ALLOWANCE:
        raise UnsafeArchive(
            f"{archive.name}: {size:,} bytes would unpack to {unpacked:,}: this is no archive of pictures"
        )
    return members


def _path(archive: Path, entry: ZipInfo) -> PurePosixPath:
    # `orig_filename` is the name as it stands in the archive; zipfile cuts the other one at a NUL.
    name = entry.orig_filename
    path = PurePosixPath(name)
    fault = (
        "leaves its folder"
        if ".." in path.parts
        else "is absolute"
        if path.is_absolute() or (len(name) > 1 and name[1] == ":")
        else "has characters that no file here has"
        if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name)
        else "is a device's"
        if any(part.split(".")[0].rstrip().lower() in _DEVICES for part in path.parts)
        else "is empty"
        if not path.parts
        else ""
    )
    if fault:
        raise _refused(archive, name, f"its path {fault}")
    return path


def _require_plain(archive: Path, entry: ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _refused(archive, entry.filename, "it is a link or a device")
    if entry.flag_bits & _ENCRYPTED:
        raise _refused(archive, entry.filename, "it is encrypted")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise _refused(archive, entry.filename, f"compression method {entry.compress_type} is not read here")


def _require_distinct(archive: Path, paths: Iterable[PurePosixPath]) -> None:
    """No path twice, in whatever case: where case counts for nothing, one file would replace the other."""
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        folded = str(path).casefold()
        if folded in seen:
            raise _refused(archive, str(path), "it is there twice")
        seen.add(folded)
        folders.update(str(parent).casefold() for parent in path.parents)
    for both in sorted(seen & folders):
        raise _refused(archive, both, "it is a file and a folder")


def _require_apart(archive: Path, members: Sequence[Member]) -> None:
    """No two members share bytes: that is how a small archive unpacks to an endless one."""
    end = 0
    for member in members:
        entry = member.entry
        if entry.header_offset < end:
            raise _refused(archive, entry.filename, "it overlaps another member")
        end = entry.header_offset + entry.compress_size


def _refused(archive: Path, name: str, fault: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"{archive.name}: the member {name!r} is refused: {fault}; nothing was unpacked: "
        "do not trust this archive"
    )
