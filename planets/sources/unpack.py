"""Zip archives: checksums verified, and unpacked only after every member has been checked."""

import base64
import hashlib
import shutil
import stat
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import google_crc32c

from planets.archive.writer import new_folder
from planets.chips import ArchiveError
from planets.sources import BadDownload, SourceError
from planets.system import ProgressLines, Say, megabytes, reports_full_disk, require_space

MAX_RATIO = 20
"""An archive that unpacks to more than this multiple of its size is a bomb: JPEG files hardly compress."""

ALLOWANCE = 64_000_000
"""Bytes that any archive may unpack to: tables compress well."""

_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_ENCRYPTED = 0x1


class UnsafeArchive(SourceError):
    """An archive has a member that could leave its folder, or is a zip bomb; nothing was unpacked."""


def verify_checksums(file: Path, size: int, sums: str) -> list[str]:
    """Compare a downloaded file with the announced size and checksums; delete it if one differs.

    Args:
        file: the download.
        size: in bytes; 0 where the server announced none.
        sums: the header `x-goog-hash`, such as `crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==`; may be empty.

    Returns:
        The names of what was compared.

    Raises:
        BadDownload: size or a checksum differs.
    """
    announced = dict(pair.strip().split("=", 1) for pair in sums.split(",") if "=" in pair)
    hashes = {"md5": hashlib.md5(usedforsecurity=False), "crc32c": google_crc32c.Checksum()}
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            for checksum in hashes.values():
                checksum.update(block)
    digests = {name: base64.b64encode(checksum.digest()).decode() for name, checksum in hashes.items()}
    pairs = {name: (digests[name], announced[name]) for name in hashes if name in announced}
    if size:
        pairs = {"size": (str(file.stat().st_size), str(size)), **pairs}
    for name, (actual, expected) in pairs.items():
        if actual != expected:
            file.unlink()
            raise BadDownload(
                f"{file.name} arrived damaged: its {name} is {actual}, the server announced {expected}; "
                "it was deleted: run again"
            )
    return list(pairs)


def unpack(
    archive: Path,
    folder: Path,
    wanted: Callable[[PurePosixPath], bool],
    check: Callable[[Path], object],
    say: Say,
) -> Path:
    """Unpack the `wanted` members of `archive` to `folder`, return it, and delete the archive.

    Args:
        archive: the zip file.
        folder: appears complete or not at all.
        wanted: selects members by path.
        check: called with the unpacked folder before it appears; an ArchiveError rejects it.
        say: receives progress lines.

    Raises:
        BadDownload: the file is no zip archive, or a member does not match its checksum; it is deleted.
        UnsafeArchive: see `safe_members`; the archive is deleted.
        ArchiveError: raised by `check`; the archive is deleted.
        DiskFull: too little free space; the archive is kept.
    """
    try:
        with ZipFile(archive) as opened:
            members = safe_members(archive, opened.infolist())
            selected = {path: entry for path, entry in members.items() if wanted(path)}
            total = sum(entry.file_size for entry in selected.values())
            require_space(archive.parent, total, "unpacking")
            progress, done = ProgressLines("unpacking", total, say, megabytes), 0
            with new_folder(folder) as new, reports_full_disk(archive.parent):
                for path, entry in selected.items():
                    (new / path).parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(entry) as source, (new / path).open("xb") as target:
                        shutil.copyfileobj(source, target)
                    done += entry.file_size
                    progress(done)
                check(new)
    except (BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise BadDownload(f"{archive.name} is broken ({error}); it was deleted: run again") from error
    except (UnsafeArchive, ArchiveError):
        archive.unlink()
        raise
    archive.unlink()
    return folder


def safe_members(archive: Path, entries: Sequence[ZipInfo]) -> dict[PurePosixPath, ZipInfo]:
    """Return the files among `entries` by path, in the order of their bytes; folders are left out.

    One bad member, wanted or not, rejects the whole archive: such an archive is an attack.

    Raises:
        UnsafeArchive: an absolute path or one that leaves its folder, a link or device, a repeated name, a
            file in place of a folder, overlapping members, a bomb, an encrypted or unsupported member.
    """
    files = sorted((entry for entry in entries if not entry.is_dir()), key=lambda entry: entry.header_offset)
    members: dict[PurePosixPath, ZipInfo] = {}
    seen: set[str] = set()
    end = 0
    for entry in files:
        # `orig_filename` is the name in the archive; zipfile cuts `filename` at a NUL.
        path = PurePosixPath(entry.orig_filename)
        # Case-insensitive file systems would replace one file by the other.
        folded = str(path).casefold()
        fault = _path_fault(entry.orig_filename, path) or _member_fault(entry)
        if not fault and folded in seen:
            fault = "its name is repeated"
        if not fault and entry.header_offset < end:
            fault = "it overlaps another member"
        if fault:
            raise _refused(archive, entry.orig_filename, fault)
        seen.add(folded)
        end = entry.header_offset + entry.compress_size
        members[path] = entry
    folders = {str(parent).casefold() for path in members for parent in path.parents}
    for name in sorted(seen & folders):
        raise _refused(archive, name, "it is a file and a folder")
    size, unpacked = archive.stat().st_size, sum(entry.file_size for entry in files)
    if unpacked > MAX_RATIO * size + ALLOWANCE:
        raise UnsafeArchive(
            f"{archive.name}: {size:,} bytes would unpack to {unpacked:,}: this is no archive of chips"
        )
    return members


def _path_fault(name: str, path: PurePosixPath) -> str:
    faults = {
        "its path leaves its folder": ".." in path.parts,
        "its path is absolute": path.is_absolute() or name[1:2] == ":",
        "its path has illegal characters": "\\" in name or any(ord(c) < 32 or ord(c) == 127 for c in name),
        "its path is a device's": any(part.split(".")[0].rstrip().lower() in _DEVICES for part in path.parts),
        "its path is empty": not path.parts,
    }
    return next((fault for fault, applies in faults.items() if applies), "")


def _member_fault(entry: ZipInfo) -> str:
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "it is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return f"compression method {entry.compress_type} is not supported"
    return ""


def _refused(archive: Path, name: str, fault: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"{archive.name}: the member {name!r} is refused: {fault}; nothing was unpacked: "
        "do not trust this archive"
    )
