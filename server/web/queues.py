"""Pages of queues and workers: what waits where, who serves it, and the forms that change it."""

from server import documents
from server.errors import InvalidArgument
from server.stores.queues import entries_of, is_alive, watchers
from server.web.shell.section import Form, Section, Shown, Visit
from server.web.tasks import summary

SHOWN_SECONDS = 24 * 3600
MOVES = {
    "front": "queues.move_task_to_front",
    "back": "queues.move_task_to_back",
    "up": "queues.move_task_forward",
    "down": "queues.move_task_backward",
}
STATS = ("cpu_usage", "memory_used", "memory_free", "gpu_usage")

section = Section()


@section.page("/queues", link="Queues")
def queues_page(visit: Visit) -> Shown:
    """All queues with the tasks that wait in them, in order."""
    queues = documents.where(visit.db, "queues", "1 ORDER BY name")
    shown = []
    for queue in queues:
        waiting = [
            (
                summary.find(visit.db, entry["task"]) or {"id": entry["task"], "name": entry["task"]},
                entry["added"],
            )
            for entry in entries_of(visit.db, queue["id"])
        ]
        shown.append({"queue": queue, "waiting": waiting, "workers": watchers(visit.db, queue["id"])})
    return Shown("queues.html", {"queues": shown, "all": queues})


@section.page("/workers", link="Workers")
def workers_page(visit: Visit) -> Shown:
    """Workers that reported within a day, those alive first."""
    workers = documents.where(visit.db, "workers", "1 ORDER BY id")
    recent = [worker for worker in workers if is_alive(worker | {"timeout": SHOWN_SECONDS})]
    names = documents.names(visit.db, "queues", [queue for worker in recent for queue in worker["queues"]])
    lines = [
        {
            "worker": worker,
            "alive": is_alive(worker),
            "task": summary.find(visit.db, worker.get("task")),
            "queues": [names.get(queue, queue) for queue in worker["queues"]],
            "stats": _stats(worker.get("machine_stats")),
        }
        for worker in recent
    ]
    return Shown("workers.html", {"workers": sorted(lines, key=lambda line: not line["alive"])})


@section.action("move", "The queue has its new order.")
def move(form: Form) -> str:
    """Move a task within its queue."""
    call = MOVES.get(form.value("to"))
    if call is None:
        raise InvalidArgument(
            f"Validation error: to: {form.value('to')!r:.40} is none of {', '.join(sorted(MOVES))}"
        )
    form.api.invoke(call, queue=form.value("queue"), task=form.value("task"))
    return "/queues"


@section.action("change-queue", "The task waits in its new queue.")
def change_queue(form: Form) -> str:
    """Move a task from its queue to the end of another."""
    target = form.value("queue")
    form.api.invoke("queues.get_by_id", queue=target)
    form.api.invoke("tasks.dequeue", task=form.value("task"))
    form.api.invoke("tasks.enqueue", task=form.value("task"), queue=target)
    return "/queues"


@section.action("new-queue", "The queue was created.")
def new_queue(form: Form) -> str:
    """Create a queue; the API refuses a name that is taken."""
    form.api.invoke("queues.create", name=form.value("name").strip())
    return "/queues"


@section.action("delete-queue", "The queue was deleted.")
def delete_queue(form: Form) -> str:
    """Delete a queue; the API refuses one that still holds tasks."""
    form.api.invoke("queues.delete", queue=form.value("queue"))
    return "/queues"


def _stats(stats: object) -> dict[str, float]:
    """Return the machine's last report: CPU and GPU use in percent, used and free memory in MB.

    A machine of several processors or GPUs reports a list: its mean counts.
    """
    if not isinstance(stats, dict):
        return {}
    means = {}
    for name in STATS:
        reported = stats.get(name)
        values = reported if isinstance(reported, list) else [reported]
        numbers = [number for number in values if isinstance(number, (int, float))]
        if numbers:
            means[name] = sum(numbers) / len(numbers)
    return means
