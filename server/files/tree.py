"""The folder of uploaded files: paths as clients give them, and nothing outside it."""

import os
import stat
from pathlib import Path

from server.errors import ApiError, BadRequest


class NotFound(ApiError):
    """There is no file at the path."""

    code = 404
    subcode = 0


class Tree:
    """The files below ``root``; a path has its folders separated by "/" and may begin with one."""

    def __init__(self, root: Path) -> None:
        """``root`` exists and is no symbolic link afterwards: it is resolved once, here."""
        self._root = root.resolve()

    def target(self, path: str) -> Path:
        """Where ``path`` lives; raises BadRequest for one that leads out of the root."""
        parts = path.removeprefix("/").split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise BadRequest(f"Invalid path: {path!r:.200}")
        if any(len(os.fsencode(part)) > 255 for part in parts):
            raise BadRequest(f"A name in the path is too long: {path!r:.200}")
        target = self._root.joinpath(*parts)
        # Components are plain names, so only a symbolic link could still lead elsewhere.
        if target.parent.resolve() != target.parent or target.is_symlink():
            raise BadRequest(f"Invalid path: {path!r:.200}")
        return target

    def existing(self, path: str) -> Path:
        """The file at ``path``; raises NotFound for what is no file."""
        file = self.target(path)
        try:
            regular = stat.S_ISREG(file.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            regular = False
        if not regular:
            raise NotFound(f"File not found: {path:.500}")
        return file

    def remove(self, path: str) -> None:
        """Delete the file, and the folders that it leaves empty; raises NotFound for what is no file."""
        file = self.existing(path)
        file.unlink()
        for folder in file.parents:
            if folder == self._root or any(folder.iterdir()):
                break
            folder.rmdir()
