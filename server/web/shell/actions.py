"""The actions of the page by their names, and what it says when they are done."""

from collections.abc import Callable

from server.dispatch import Api
from server.files.tree import Leftovers
from server.web import model_actions, queue_actions
from server.web.shell.form import Form
from server.web.tasks import actions as task_actions

# What the page says after the redirect; the address holds the key only.
DONE = {
    "started": "The new run waits in its queue.",
    "drafted": "The new run is a draft: change it, then enqueue it.",
    "cloned": "This is the clone: a draft to change and enqueue.",
    "saved": "The parameters are saved.",
    "queued": "The task waits in its queue.",
    "dequeued": "The task is out of its queue.",
    "stopped": "The task is being stopped.",
    "retried": "The run waits in its queue: what completed will come from the cache.",
    "archived": "Archived. It can be brought back from the archive.",
    "restored": "Out of the archive again.",
    "deleted": "Deleted.",
    "published": "Published.",
    "moved": "The queue is in the new order.",
    "made": "The queue is made.",
}

Act = Callable[[Api, Form], str]

ACTIONS: dict[str, Act] = {
    "new-run": task_actions.new_run,
    "clone": task_actions.clone,
    "parameters": task_actions.parameters,
    "enqueue": task_actions.enqueue,
    "dequeue": task_actions.dequeue,
    "abort": task_actions.abort,
    "retry": task_actions.retry,
    "reset": task_actions.reset,
    "publish": task_actions.publish,
    "archive": task_actions.archive,
    "restore": task_actions.restore,
    "publish-model": model_actions.publish_model,
    "archive-model": model_actions.archive_model,
    "restore-model": model_actions.restore_model,
    "move": queue_actions.move,
    "change-queue": queue_actions.change_queue,
    "new-queue": queue_actions.new_queue,
    "delete-queue": queue_actions.delete_queue,
}


def actions(leftovers: Leftovers) -> dict[str, Act]:
    """All of them; what deletes tasks takes their files along."""
    return ACTIONS | {"delete": lambda calls, form: task_actions.delete(calls, form, leftovers)}
