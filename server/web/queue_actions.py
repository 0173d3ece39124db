"""What the forms of the queues do."""

from server.dispatch import Api
from server.errors import InvalidArgument
from server.web.shell.form import Form

MOVES = {
    "front": "queues.move_task_to_front",
    "back": "queues.move_task_to_back",
    "up": "queues.move_task_forward",
    "down": "queues.move_task_backward",
}


def move(calls: Api, form: Form) -> str:
    """Change the place of a task in its queue."""
    call = MOVES.get(form.value("to"))
    if call is None:
        raise InvalidArgument(f"Validation error: a task cannot move {form.value('to')!r:.40}")
    calls.invoke(call, queue=form.value("queue"), task=form.value("task"))
    return "/queues?done=moved"


def change_queue(calls: Api, form: Form) -> str:
    """Out of one queue, to the end of another."""
    target = form.value("queue")
    calls.invoke("queues.get_by_id", queue=target)
    calls.invoke("tasks.dequeue", task=form.value("task"))
    calls.invoke("tasks.enqueue", task=form.value("task"), queue=target)
    return "/queues?done=moved"


def new_queue(calls: Api, form: Form) -> str:
    """Make a queue; the API refuses a name that is taken."""
    calls.invoke("queues.create", name=form.value("name").strip())
    return "/queues?done=made"


def delete_queue(calls: Api, form: Form) -> str:
    """Delete a queue; the API refuses one that still holds tasks."""
    calls.invoke("queues.delete", queue=form.value("queue"))
    return "/queues?done=deleted"
