"""Pages of datasets: the list of versions, one version with its content, and a preview of its pictures."""

import json
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from server.documents import ARCHIVED, Document, has_system_tag
from server.files.tree import Tree
from server.web.shell import text
from server.web.shell.section import NotThere, Picture, Section, Shown, Visit
from server.web.tasks import figures, summary
from server.web.tasks import pages as tasks

TAGGED = has_system_tag("dataset")
CONTENT = "Dataset Content"
STRUCTURE = "Dataset Struct"
ROWS = 100
REPORTED_IMAGES = 12
PREVIEWED = 16
MAX_PICTURE_BYTES = 2**20
DAMAGED = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError,
           RuntimeError, struct.error)  # fmt: skip
"""All that zipfile and its decompressors raise on a damaged, encrypted or unsupported archive."""

MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}

section = Section()


@dataclass(frozen=True)
class Version:
    """A dataset task as the lists show it; `facts` is what the SDK notes about its content."""

    task: Document
    tags: list[str]
    facts: Document

    @property
    def number(self) -> str:
        """The version such as `1.0.2`, or an empty string."""
        return str(self.facts.get("version") or "")


@dataclass(frozen=True)
class File:
    """One file of a dataset, as the SDK lists it."""

    name: str
    size: str
    digest: str


@section.page("/datasets", link="Datasets")
def dataset_list(visit: Visit) -> Shown:
    """All datasets by name, each with its versions."""
    wanted = visit.query.get("q", "")
    condition = f"{TAGGED} AND NOT {ARCHIVED} AND instr(lower(name), lower(?))"
    groups: dict[str, list[Version]] = {}
    for version in _versions(visit, condition, (wanted,)):
        groups.setdefault(version.task["name"], []).append(version)
    return Shown("datasets.html", {"groups": groups, "wanted": wanted})


@section.page(
    "/datasets/{kind}/{project}/experiments/{task}",
    "/datasets/{kind}/{project}/experiments/{task}/{tab:path}",
)
def version_page(visit: Visit) -> Shown:
    """One version: its place among the others, its content, and what was reported about it."""
    task = visit.task()
    files = _files(task)
    wanted, start = visit.query.get("q", ""), visit.integer("from")
    matching = [file for file in files if wanted.lower() in file.name.lower()]
    condition = f"{TAGGED} AND name = ? AND project IS ?"
    values = {
        "facts": task["runtime"],
        "versions": _versions(visit, condition, (task["name"], task.get("project"))),
        "parents": _parents(task),
        "count": len(files),
        "matching": len(matching),
        "files": matching[start : start + ROWS],
        "wanted": wanted,
        "artifacts": [item for item in summary.artifacts(task) if item.key != "state"],
        "pictures": [name for name, _ in _preview(visit.files, task)],
        "images": figures.images(visit, task["id"])[:REPORTED_IMAGES],
        "plots": _plots(visit, task),
    }
    return Shown(
        "dataset.html", tasks.head(visit, task) | values | visit.page_links(ROWS, len(matching[start:]))
    )


@section.data("/datasets/pictures/{task}/{index}")
def preview_picture(visit: Visit) -> Picture:
    """One of the pictures of the preview."""
    pictures, index = _preview(visit.files, visit.task()), visit.number("index")
    if index is None or index >= len(pictures):
        raise NotThere("There is no such picture")
    return pictures[index][1]


def _plots(visit: Visit, task: Document) -> list[figures.Plot]:
    """Return the reported plots, without the SDK's own, which repeat the facts."""
    return [plot for plot in figures.plots(visit.db, task) if not plot.metric.startswith("__")]


def _versions(visit: Visit, condition: str, values: tuple[object, ...]) -> list[Version]:
    rows = visit.db.execute(
        f"SELECT {summary.columns((*summary.FIELDS, 'tags', 'runtime'))} FROM tasks"
        f" WHERE {condition} ORDER BY rowid DESC LIMIT 500",
        values,
    )
    return [
        Version(
            {name: row[name] for name in summary.FIELDS},
            [tag for tag in json.loads(row["tags"] or "[]") if isinstance(tag, str)],
            json.loads(row["runtime"] or "{}"),
        )
        for row in rows
    ]


def _files(task: Document) -> list[File]:
    """Return every file, from the listing that the SDK stores with the dataset."""
    stored = task["configuration"].get(CONTENT, {}).get("value")
    lines = stored.splitlines()[1:] if isinstance(stored, str) else []
    return [_file(line) for line in lines if line.strip()]


def _file(line: str) -> File:
    name, count, digest = [*line.rsplit(", ", 2), "", ""][:3]
    size = text.size(int(count[:18])) if count.isascii() and count.isdigit() else count
    return File(name, size, digest)


def _parents(task: Document) -> list[str]:
    """Return the ids of the versions that this one builds on."""
    structure = summary.read_object(task["configuration"].get(STRUCTURE, {}).get("value"))
    ids = [item.get("job_id") for item in structure.values() if isinstance(item, dict)]
    return [parent for parent in ids if isinstance(parent, str) and parent != task["id"]]


def _preview(files: Tree, task: Document) -> tuple[tuple[str, Picture], ...]:
    """Return names and pictures, spread evenly over the first archive that holds any."""
    for artifact in task["execution"].get("artifacts", []):
        uri = text.link(artifact.get("uri"))
        if uri is None or not uri.endswith(".zip"):
            continue
        path = files.find(uri)
        pictures = _pictures(path, path.stat().st_mtime_ns) if path else ()
        if pictures:
            return pictures
    return ()


@lru_cache(maxsize=4)
def _pictures(path: Path, _changed: int) -> tuple[tuple[str, Picture], ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if _is_picture(item)]
            chosen = members[:: max(1, len(members) // PREVIEWED)][:PREVIEWED]
            return tuple((item.filename, Picture(_media_type(item), archive.read(item))) for item in chosen)
    except DAMAGED:
        return ()


def _is_picture(item: zipfile.ZipInfo) -> bool:
    """Return True for a small picture. Reading stops at the stated size, whatever would still unpack."""
    return Path(item.filename).suffix.lower() in MEDIA_TYPES and 0 < item.file_size <= MAX_PICTURE_BYTES


def _media_type(item: zipfile.ZipInfo) -> str:
    return MEDIA_TYPES[Path(item.filename).suffix.lower()]
