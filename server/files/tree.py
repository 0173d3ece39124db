"""The folder of uploaded files: paths as clients give them, and nothing outside it."""

import logging
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from server.database import Database
from server.errors import ApiError, BadRequest

UNUSABLE = re.compile(r"[\x00-\x1f\x7f\\]")
LONGEST_PATH = 4000
"""In bytes; Linux takes 4095, and drafts are renamed within the folder."""


class NotFound(ApiError, code=404):
    """No file is at the path."""


class Tree:
    """The files below a root; paths are separated by "/" and may start with one."""

    def __init__(self, root: Path) -> None:
        """Resolve ``root``, an existing folder, once."""
        self._root = root.resolve()

    def target(self, path: str) -> Path:
        """Return the location of ``path``; raises BadRequest for one that leads out of the root."""
        parts = path.removeprefix("/").split("/")
        if any(part in ("", ".", "..") or UNUSABLE.search(part) for part in parts):
            raise BadRequest(f"Invalid path: {path!r:.200}")
        if any(len(os.fsencode(part)) > 255 for part in parts):
            raise BadRequest(f"A name in the path is too long: {path!r:.200}")
        target = self._root.joinpath(*parts)
        if len(os.fsencode(target)) > LONGEST_PATH:
            raise BadRequest(f"The path is too long: {path!r:.200}")
        # All components are plain names, so only a symbolic link could still lead elsewhere.
        if target.parent.resolve() != target.parent or target.is_symlink():
            raise BadRequest(f"Invalid path: {path!r:.200}")
        return target

    def existing(self, path: str) -> Path:
        """Return the file at ``path``; raises NotFound if it is not a regular file."""
        file = self.target(path)
        try:
            regular = stat.S_ISREG(file.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            regular = False
        if not regular:
            raise NotFound(f"File not found: {path:.500}")
        return file

    def find(self, url: str) -> Path | None:
        """Return the file to which the path of ``url`` leads, under any host name; None if it is not here."""
        try:
            return self.existing(unquote(urlsplit(url).path))
        except (ApiError, ValueError, OSError):
            return None

    def remove(self, path: str) -> None:
        """Delete the file and the folders left empty; raises NotFound if it is not a regular file."""
        file = self.existing(path)
        file.unlink()
        for folder in file.parents:
            if folder == self._root or any(folder.iterdir()):
                break
            folder.rmdir()


log = logging.getLogger("server")

NAMED = "SELECT 1 FROM tasks WHERE instr(doc, :path) UNION ALL SELECT 1 FROM models WHERE instr(doc, :path)"


class Leftovers:
    """Removes the files of deleted tasks by their URLs."""

    def __init__(self, database: Database, tree: Tree) -> None:
        """``tree`` holds the file server's files, to which the URLs lead."""
        self._database = database
        self._tree = tree

    def remove(self, task_id: str, urls: Iterable[str]) -> None:
        """Remove the deleted task's files that no other task or model names.

        Clients write the owning task's id into the path; files without it are kept.
        """
        for url in urls:
            path = urlsplit(url).path
            if task_id in path and not self._is_named(path):
                remove_file(self._tree, url)

    def _is_named(self, path: str) -> bool:
        with self._database.read() as db:
            return db.execute(f"{NAMED} LIMIT 1", {"path": path}).fetchone() is not None


def remove_file(tree: Tree, url: str) -> None:
    """Remove the file that the URL leads to, if it is on this server."""
    try:
        tree.remove(unquote(urlsplit(url).path))
    except (ApiError, ValueError):
        log.debug("not a file of this server: %.200r", url)
