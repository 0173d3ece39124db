"""The queues: what waits in each, in which order, and who serves it."""

from server import documents
from server.stores import queue_entries as entries
from server.stores.queues import watchers
from server.web.runs import runs
from server.web.shell.section import Shown, Visit


def page(visit: Visit) -> Shown:
    """All queues with the tasks that wait in them."""
    queues = documents.where(visit.db, "queues", "1 ORDER BY name")
    shown = []
    for queue in queues:
        waiting = []
        for entry in entries.entries_of(visit.db, queue["id"]):
            task = documents.find(visit.db, "tasks", entry["task"])
            waiting.append(
                (runs.short(task) if task else {"id": entry["task"], "name": entry["task"]}, entry["added"])
            )
        shown.append({"queue": queue, "waiting": waiting, "workers": watchers(visit.db, queue["id"])})
    return Shown("queues.html", {"queues": shown, "all": queues})
