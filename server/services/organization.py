"""The organization service: tags over everything."""

from server.dispatch import Call, Service
from server.documents import Document
from server.services.projects.facets import tags_of

service = Service("organization")


@service.reads("get_tags")
def get_tags(call: Call) -> Document:
    """Every tag in use on tasks, models, projects and queues."""
    tags = [tags_of(call, table, []) for table in ("tasks", "models", "projects", "queues")]
    names = {name for found in tags for name in found}
    return {name: sorted({tag for found in tags for tag in found.get(name, [])}) for name in sorted(names)}
