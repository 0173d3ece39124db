"""Data folder: owned by one server at a time, which announces its addresses there."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from server.errors import StartError


class DataFolder:
    """Everything that a server stores; readable by its owner only."""

    def __init__(self, path: Path) -> None:
        """Name the parts of the folder; nothing is touched before ``claim``."""
        self.path = path.absolute()
        self.database = self.path / "server.db"
        self.files = self.path / "files"
        self.uploads = self.path / "uploads"
        self.address = self.path / "server.json"
        self.settings = self.path / "clearml.conf"
        self._lock: int | None = None

    def claim(self) -> None:
        """Create and lock the folder, and discard unfinished uploads.

        Raises:
            StartError: The folder cannot be written, is locked or belongs to something else.
        """
        try:
            self._check_owner()
            for folder in (self.path, self.files, self.uploads):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            self._lock = os.open(self.path / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"cannot write the data folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise StartError(
                    f"the drive of {self.path} has no locks: {error.strerror}; use another"
                ) from error
            raise StartError(f"another server runs on the data folder {self.path}; stop it first") from error
        for draft in self.uploads.iterdir():
            draft.unlink()

    def _check_owner(self) -> None:
        # A folder named by mistake (a home, /tmp) must not lose its permissions.
        ours = not self.path.exists() or (self.path / "server.lock").exists()
        if not ours and any(self.path.iterdir()):
            raise StartError(f"the folder {self.path} is not empty and no data folder of this server")

    def announce(self, api: str, web: str, files: str, host: str, port: int) -> None:
        """Write server.json (addresses, for the launcher) and clearml.conf (for clients)."""
        keys = json.loads((self.path / "credentials.json").read_text(encoding="utf-8"))
        client = {"api_server": api, "web_server": web, "files_server": files, "credentials": keys}
        write_private(self.settings, json.dumps({"api": client}, indent=2))
        started = datetime.now(UTC).isoformat(timespec="seconds")
        address = {
            "pid": os.getpid(),
            "api": api,
            "web": web,
            "files": files,
            "host": host,
            "port": port,
            "started": started,
        }
        write_private(self.address, json.dumps(address, indent=2))

    def release(self) -> None:
        """Unlock the folder for the next server."""
        self.address.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 atomically: readers see the old content or the new."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
