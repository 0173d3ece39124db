"""Unpacks a large zip archive without a second copy: the archive shrinks as the files come out of it."""

import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from planets.archive.writer import new_folder
from planets.chips import ArchiveError
from planets.sources import BadDownload
from planets.sources.zip_members import Member, UnsafeArchive, safe_members
from planets.system import ByteProgress, Say, reports_full_disk, require_space

BATCH = 64_000_000
"""Bytes of members that come out before the archive is cut shorter."""

_BLOCK = 4096
"""A file takes up whole blocks."""


def unpack(
    archive: Path,
    folder: Path,
    wanted: Callable[[PurePosixPath], bool],
    check: Callable[[Path], object],
    say: Say,
    batch: int = BATCH,
) -> Path:
    """Move the members of `archive` that are `wanted` to `folder`, and return it; the archive is used up.

    The last member comes out first, and the archive then ends where it began: so the disk holds at no time
    much more than the archive or its content. When that breaks off, the folder is gone and what is left of
    the archive is its beginning, which a download goes on from.

    `check` looks at the new folder before it appears, and raises ArchiveError if it is not to.

    Raises:
        BadDownload: this is no zip archive, or a member does not match its checksum; the archive is gone.
        UnsafeArchive: see `safe_members`; the archive is gone.
        ArchiveError: what `check` raises; the archive is gone.
        DiskFull: there is no room, before or while it unpacks.
    """
    try:
        with ZipFile(archive) as opened:
            members = safe_members(archive, opened.infolist(), archive.stat().st_size)
            chosen = [member for member in members if wanted(member.path)]
            require_space(archive.parent, extra_room(chosen, archive.stat().st_size, batch), "unpacking")
            with new_folder(folder) as new, reports_full_disk(archive.parent):
                _move(opened, archive, chosen, new, say, batch)
                check(new)
    except (BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise BadDownload(f"{archive.name} is broken ({error}); it is thrown away: run again") from error
    except (UnsafeArchive, ArchiveError):
        archive.unlink()
        raise
    archive.unlink()
    return folder


def extra_room(members: Sequence[Member], size: int, batch: int = BATCH) -> int:
    """How many bytes more than the archive's own `size` the disk must hold at the worst moment."""
    worst = written = since = 0
    end = size
    for member in reversed(members):
        blocks = -(-member.entry.file_size // _BLOCK) * _BLOCK
        written += blocks
        since += blocks
        worst = max(worst, written - (size - end))
        if since >= batch:
            end, since = member.entry.header_offset, 0
    return worst


def _move(
    opened: ZipFile, archive: Path, members: Sequence[Member], folder: Path, say: Say, batch: int
) -> None:
    """Write each member, the last one first, and cut the archive off where it is done with."""
    lines = ByteProgress("unpacking", sum(member.entry.file_size for member in members), say)
    done = since = 0
    for member in reversed(members):
        target = folder / member.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member.entry) as source, target.open("xb") as out:
            shutil.copyfileobj(source, out)
        done += member.entry.file_size
        since += -(-member.entry.file_size // _BLOCK) * _BLOCK
        if since >= batch:
            with archive.open("r+b") as whole:
                whole.truncate(member.entry.header_offset)
            since = 0
        lines(done)
