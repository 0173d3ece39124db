"""The files that a task leaves on our own file server when it goes."""

import logging
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from server.database import Database
from server.errors import ApiError
from server.files.tree import Tree

log = logging.getLogger("server")

NAMED = "SELECT 1 FROM tasks WHERE instr(doc, :path) UNION ALL SELECT 1 FROM models WHERE instr(doc, :path)"


class Leftovers:
    """Removes files by the URLs under which tasks know them."""

    def __init__(self, database: Database, tree: Tree) -> None:
        """``tree`` is where the file server keeps what the URLs lead to."""
        self._database = database
        self._tree = tree

    def remove(self, task_id: str, urls: Iterable[str]) -> None:
        """Remove those files of the deleted task that no other task and no model names.

        Whose a file is says its path, in which the clients write the task's id; others are left alone.
        """
        for url in urls:
            path = urlsplit(url).path
            if task_id in path and not self._is_named(path):
                remove_file(self._tree, url)

    def _is_named(self, path: str) -> bool:
        with self._database.read() as db:
            return db.execute(f"{NAMED} LIMIT 1", {"path": path}).fetchone() is not None


def remove_file(tree: Tree, url: str) -> None:
    """Remove the file that the URL leads to, if it is one of ours."""
    try:
        tree.remove(unquote(urlsplit(url).path))
    except (ApiError, ValueError):
        log.debug("no file of ours: %.200r", url)
