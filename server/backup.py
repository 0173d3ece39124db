"""Backup of a data folder as one tar: written while the server runs, restored into an empty folder.

The database is copied before the files: clients upload a file before they register it, so every file that the
copied database names is in the backup. The archive holds the keys: keep it as safe as the folder itself.
"""

import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from server.data_folder import DataFolder
from server.database import migrations, version
from server.errors import ServerError, StartError

DATABASE = "server.db"
KEYS = ("credentials.json", "signing.key")
FILES = "files"


class BackupError(ServerError):
    """A backup cannot be written or restored; the message is the one line shown to the user."""


def backup(data: Path, archive: Path) -> None:
    """Write the whole data folder to ``archive``; the server may run meanwhile.

    Raises:
        BackupError: ``archive`` exists or cannot be written; no partial archive is left.
    """
    folder = DataFolder(data)
    if not folder.database.exists():
        raise BackupError(f"{data} is no data folder of this server: it has no {DATABASE}")
    if archive.exists():
        raise BackupError(f"{archive} exists; name a new file")
    draft = archive.with_name(f".{archive.name}.{os.getpid()}")
    with _explained(f"cannot write the backup {archive}"), _private(draft), _private(_copy_of(draft)):
        _copy_database(folder.database, _copy_of(draft))
        with draft.open("wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
            tar.add(_copy_of(draft), DATABASE)
            for name in KEYS:
                tar.add(folder.path / name, name)
            for file in _files(folder.files):
                _add(tar, file, f"{FILES}/{file.relative_to(folder.files).as_posix()}")
        _sync(draft)
        draft.rename(archive)


def restore(data: Path, archive: Path) -> None:
    """Create the data folder ``data`` from a backup.

    Raises:
        BackupError: ``data`` is not empty, or ``archive`` is damaged or not a backup.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BackupError(f"{data} is not empty; restore into a new folder")
    draft = data.absolute().with_name(f".{data.absolute().name}.{os.getpid()}")
    with _explained(f"cannot restore {archive}"):
        try:
            _unpack(archive, draft)
            _check(draft / DATABASE)
            (draft / "server.lock").touch(mode=0o600)
            draft.rename(data)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a consistent snapshot of the database; writers are not blocked."""
    with closing(sqlite3.connect(source, timeout=30)) as db, closing(sqlite3.connect(target)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def _files(root: Path) -> Iterator[Path]:
    return (Path(folder, name) for folder, _, names in os.walk(root) for name in sorted(names))


def _add(tar: tarfile.TarFile, file: Path, name: str) -> None:
    """Add the file as opened now: replacing it creates a new file, and a deleted one is left out."""
    if file.is_symlink():
        return
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        return
    with stream:
        tar.addfile(tar.gettarinfo(arcname=name, fileobj=stream), stream)


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / FILES).mkdir(mode=0o700)
    with tarfile.open(archive, mode="r:") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() and _is_ours(member.name) else None
            if stream is None:
                raise BackupError(f"{archive} is no backup of this server: it holds {member.name!r:.200}")
            _write(folder / member.name, stream)
    missing = [name for name in (DATABASE, *KEYS) if not (folder / name).exists()]
    if missing:
        raise BackupError(f"{archive} is no backup of this server: it has no {missing[0]}")


def _write(target: Path, stream: IO[bytes]) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        shutil.copyfileobj(stream, written)


def _is_ours(name: str) -> bool:
    path = PurePosixPath(name)
    inside = path.parts[:1] == (FILES,) and len(path.parts) > 1 and ".." not in path.parts
    return name in (DATABASE, *KEYS) or (inside and str(path) == name)


def _check(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        problems = [str(row[0]) for row in db.execute("PRAGMA quick_check(1)")]
        if problems != ["ok"]:
            raise BackupError(f"the database in the backup is damaged: {problems[0]}")
        if version(db) > len(migrations()):
            raise StartError(f"a newer server made the backup (schema {version(db)})")


def _copy_of(draft: Path) -> Path:
    return draft.with_name(f"{draft.name}.db")


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


@contextmanager
def _private(draft: Path) -> Iterator[None]:
    """Create a file of mode 0600 and remove what has this name after the block."""
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, tarfile.TarError, sqlite3.Error) as error:
        raise BackupError(f"{what}: {getattr(error, 'strerror', None) or error}") from error
