"""The organization service: the one company, and counts of what it has."""

from server import documents
from server.dispatch import Call, Service
from server.documents import Document, has_system_tag
from server.errors import InvalidArgument
from server.query import Collection, translate
from server.requests import Arguments
from server.stores.models import MODELS
from server.stores.projects import PROJECTS, with_subprojects
from server.stores.tasks import TASKS

service = Service("organization")

ENTITIES: dict[str, tuple[Collection, str]] = {
    "projects": (PROJECTS, "1"),
    "pipelines": (PROJECTS, has_system_tag("pipeline")),
    "datasets": (PROJECTS, has_system_tag("dataset")),
    "tasks": (TASKS, "type <> 'report'"),
    "pipeline_runs": (TASKS, f"type = 'controller' AND {has_system_tag('pipeline')}"),
    "reports": (TASKS, "type = 'report'"),
    "models": (MODELS, "1"),
}
"""The kinds that are counted: the table, and what documents of it must meet."""

HIDING = frozenset({"projects", "tasks"})
OPTIONS = frozenset({"search_hidden", "include_subprojects"})


@service.reads("get_user_companies")
def get_user_companies(call: Call) -> Document:
    """Return the one company with its one user."""
    owners = [{**documents.USER_REFERENCE, "avatar": None}]
    return {"companies": [{**documents.COMPANY_REFERENCE, "allocated": 1, "owners": owners}]}


@service.reads("get_entities_count", "search_hidden", *ENTITIES)
def get_entities_count(call: Call) -> Document:
    """Return the number of documents of each named kind that match its filters, those of a ``get_all``."""
    return {name: _count(call, name) for name in ENTITIES if name in call.arguments}


def _count(call: Call, name: str) -> int:
    collection, condition = ENTITIES[name]
    filters = Arguments(call.arguments.mapping(name))
    for argument in filters:
        known = argument in collection.arguments or argument in OPTIONS or "." in argument
        if not known:
            raise InvalidArgument(f"Unsupported argument {argument!r:.80} of {name}")
    parent = "parent" if collection is PROJECTS else "project"
    query = translate(collection, with_subprojects(call.db, filters, parent))
    query.add(condition)
    hidden = call.arguments.flag("search_hidden") or filters.flag("search_hidden")
    if name in HIDING and not hidden:
        query.add(f"NOT {has_system_tag('hidden')}")
    sql = f"SELECT count(*) FROM {collection.table} WHERE {query.where}"
    return int(call.db.execute(sql, query.parameters).fetchone()[0])
