"""The workers: who is alive, and doing what."""

from server import documents
from server.stores.queues import is_alive
from server.web.runs import runs
from server.web.shell.section import Shown, Visit

SHOWN_SECONDS = 24 * 3600


def page(visit: Visit) -> Shown:
    """The workers heard of within a day: those that are alive first."""
    found = documents.where(visit.db, "workers", "1 ORDER BY id")
    names = documents.names(visit.db, "queues", [queue for worker in found for queue in worker["queues"]])
    lines = []
    for worker in found:
        if not is_alive(worker | {"timeout": SHOWN_SECONDS}):
            continue
        task = documents.find(visit.db, "tasks", worker.get("task") or "")
        lines.append(
            {
                "worker": worker,
                "alive": is_alive(worker),
                "task": runs.short(task) if task else None,
                "queues": [names.get(queue, queue) for queue in worker["queues"]],
                "stats": _stats(worker.get("machine_stats")),
            }
        )
    return Shown("workers.html", {"workers": sorted(lines, key=lambda line: not line["alive"])})


def _stats(stats: object) -> dict[str, float]:
    """The last report of the machine: percent of the processor, free and used memory in MB."""
    if not isinstance(stats, dict):
        return {}
    found = {}
    for name in ("cpu_usage", "memory_used", "memory_free", "gpu_usage"):
        value = stats.get(name)
        numbers = [
            item for item in (value if isinstance(value, list) else [value]) if isinstance(item, (int, float))
        ]
        if numbers:
            found[name] = sum(numbers) / len(numbers)
    return found
