"""Projects as documents: a tree by name, in which ``a/b`` is a child of ``a``."""

import sqlite3

from server import documents
from server.documents import Document, find, insert, save
from server.errors import BadRequest, InvalidArgument, NotUnique
from server.list_filters import NOT
from server.query import Collection
from server.requests import Arguments

PROJECTS = Collection(
    table="projects",
    answer="projects",
    columns={"id": "id", "name": "name", "parent": "parent"},
    values=frozenset({"basename", "parent", "user"}),
    dates=frozenset({"created", "last_update"}),
)

DATASET = "dataset"


class InvalidProject(BadRequest, subcode=401):
    """No project has this id."""


def load_project(db: sqlite3.Connection, project_id: str) -> Document:
    """Return the project; raises InvalidProject for an unknown id."""
    project = find(db, "projects", project_id)
    if project is None:
        raise InvalidProject(f"Invalid project id: id={project_id}, company={documents.COMPANY}")
    return project


def destination(db: sqlite3.Connection, arguments: Arguments, now: str) -> str:
    """Return the id of the call's target project, created if ``project_name`` is new."""
    if "project_name" in arguments:
        project = ensure_project(db, arguments.text("project_name"), now)
    else:
        project = load_project(db, arguments.text("project"))
    project_id: str = project["id"]
    return project_id


def ensure_project(db: sqlite3.Connection, name: str, now: str) -> Document:
    """Return the project of that name, created with its parents if it does not exist.

    Raises:
        InvalidArgument: The name is too short or has an empty part.
    """
    check_project_name(name)
    return _ensure(db, name, now)


def check_project_name(name: str) -> None:
    """Raise InvalidArgument for a name of fewer than three characters, with NUL or with an empty part."""
    if len(name.strip()) < documents.SHORTEST_NAME:
        raise InvalidArgument(
            f"Validation error: project name {name!r} is too short, it needs"
            f" {documents.SHORTEST_NAME} characters"
        )
    if "\0" in name:  # SQL's text functions end there
        raise InvalidArgument(f"Validation error: project name {name!r} contains a NUL character")
    if not all(part.strip() for part in name.split("/")):
        raise InvalidArgument(f"Validation error: invalid project name {name!r:.200}: an empty part")


def _ensure(db: sqlite3.Connection, name: str, now: str) -> Document:
    parts = name.split("/")
    existing = documents.named(db, "projects", name)
    if existing:
        return existing
    parent = _ensure(db, "/".join(parts[:-1]), now)["id"] if len(parts) > 1 else None
    project = documents.blank(now) | {
        "name": name,
        "basename": parts[-1],
        "description": "",
        "system_tags": ["hidden"] if parts[-1].startswith(".") else [],
        "featured": 9999,
    }
    project |= {"parent": parent} if parent else {}
    insert(db, "projects", project)
    return project


def tree(db: sqlite3.Connection, root: str) -> list[str]:
    """Return the ids of the project and of all projects below it."""
    rows = db.execute(
        "WITH RECURSIVE below(id) AS (SELECT ? UNION"
        " SELECT p.id FROM projects p JOIN below ON p.parent = below.id) SELECT id FROM below",
        (root,),
    )
    return [row["id"] for row in rows]


def with_subprojects(db: sqlite3.Connection, arguments: Arguments, name: str = "project") -> Arguments:
    """Return the arguments; with ``include_subprojects``, ``name`` also lists the projects below."""
    if not arguments.flag("include_subprojects") or name not in arguments:
        return arguments
    values: list[str | None] = []
    negate = False
    for value in arguments.values(name):
        if value is None or value.startswith("__$"):
            negate = value == NOT
            values += [] if negate else [value]
            continue
        for project in tree(db, value):
            values += [NOT, project] if negate else [project]
        negate = False
    return arguments.replaced(name, values)


def rename(db: sqlite3.Connection, project: Document, name: str, now: str) -> None:
    """Rename the project, everything below it and, for a dataset, its versions."""
    if name == project["name"]:
        return
    if documents.named(db, "projects", name):
        raise NotUnique("name", name)
    if name.startswith(project["name"] + "/"):
        raise InvalidArgument(f"Validation error: project {project['name']!r} cannot move below itself")
    below = [load_project(db, project_id) for project_id in tree(db, project["id"])[1:]]
    old = project["name"]
    check_project_name(name)
    parent = _ensure(db, name.rpartition("/")[0], now) if "/" in name else None
    if DATASET in project["system_tags"]:
        _rename_versions(db, project, name.rpartition("/")[2])
    project |= {"name": name, "basename": name.rpartition("/")[2], "parent": parent["id"] if parent else None}
    save(db, "projects", project)
    for child in below:
        child["name"] = name + child["name"].removeprefix(old)
        save(db, "projects", child)


def _rename_versions(db: sqlite3.Connection, dataset: Document, name: str) -> None:
    """Rename a dataset's versions: the SDK finds them by the name they share with its project."""
    for task in documents.where(
        db, "tasks", "project = ? AND name = ?", (dataset["id"], dataset["basename"])
    ):
        save(db, "tasks", task | {"name": name})


def touch_project(db: sqlite3.Connection, project_id: str | None, now: str) -> None:
    """Mark the project as updated."""
    project = find(db, "projects", project_id) if project_id else None
    if project:
        project["last_update"] = now
        save(db, "projects", project)
