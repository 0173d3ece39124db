"""The data folder: one server at a time owns it and says in it where it listens."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from server.errors import StartError


class DataFolder:
    """``path`` with everything the server keeps; readable by its owner only."""

    def __init__(self, path: Path) -> None:
        """Names the parts of the folder; touches nothing until ``claim``."""
        self.path = path.absolute()
        self.database = self.path / "server.db"
        self.files = self.path / "files"
        self.uploads = self.path / "uploads"
        self.address = self.path / "server.json"
        self.settings = self.path / "clearml.conf"
        self._lock: int | None = None

    def claim(self) -> None:
        """Make the folder and lock it; raises StartError if it cannot be written or is taken."""
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
            raise StartError(f"another server runs on the data folder {self.path}; stop it first") from error
        for left_over in self.uploads.iterdir():
            left_over.unlink()

    def _check_owner(self) -> None:
        # A folder named by mistake (a home, /tmp) must not be locked away from its other users.
        ours = not self.path.exists() or (self.path / "server.lock").exists()
        if not ours and any(self.path.iterdir()):
            raise StartError(f"the folder {self.path} is not empty and no data folder of this server")

    def announce(self, api: str, files: str) -> None:
        """Tell the launcher where the sockets listen, and clients, by a clearml.conf, how to get in."""
        keys = json.loads((self.path / "credentials.json").read_text(encoding="utf-8"))
        client = {"api_server": api, "web_server": api, "files_server": files, "credentials": keys}
        write_private(self.settings, json.dumps({"api": client}, indent=2))
        started = datetime.now(UTC).isoformat(timespec="seconds")
        address = {"pid": os.getpid(), "api": api, "web": api, "files": files, "started": started}
        write_private(self.address, json.dumps(address, indent=2))

    def release(self) -> None:
        """Free the folder for the next server."""
        self.address.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole: a reader sees the old one or the new one, never a half."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
