"""A look into the archives of a dataset: a few of the pictures that lie in them."""

import zipfile
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from server.documents import Document
from server.errors import ApiError
from server.files.tree import Tree
from server.web.shell import text

SHOWN = 16
KINDS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
LARGEST = 2**20


def pictures(files: Tree, task: Document) -> tuple[tuple[str, str, bytes], ...]:
    """(name, media type, content) of SHOWN pictures, spread evenly over the first archive that has any."""
    for artifact in task["execution"].get("artifacts", []):
        uri = text.link(artifact.get("uri"))
        if uri is None or not uri.endswith(".zip"):
            continue
        try:
            path = files.existing(unquote(urlsplit(uri).path))
        except ApiError:
            continue
        found = _pictures(path, path.stat().st_mtime_ns)
        if found:
            return found
    return ()


@lru_cache(maxsize=4)
def _pictures(path: Path, _changed: int) -> tuple[tuple[str, str, bytes], ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if _is_picture(item)]
            step = max(1, len(members) // SHOWN)
            chosen = members[::step][:SHOWN]
            return tuple((item.filename, _kind(item), archive.read(item)) for item in chosen)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return ()


def _is_picture(item: zipfile.ZipInfo) -> bool:
    """Small by its own word: reading stops there, whatever the compressed data would still give."""
    return Path(item.filename).suffix.lower() in KINDS and 0 < item.file_size <= LARGEST


def _kind(item: zipfile.ZipInfo) -> str:
    return KINDS[Path(item.filename).suffix.lower()]
