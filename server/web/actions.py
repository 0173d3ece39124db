"""What the forms do: each by the call that ClearML's own page makes for it."""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from server.documents import Document
from server.errors import InvalidArgument
from server.rpc import Api
from server.web.text import task_path

ACTIVE = frozenset({"in_progress", "queued"})
UNSTOPPABLE = frozenset({"created", "completed", "failed", "stopped", "published"})

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


class Form:
    """The fields that a form sent, in their order."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        """Keep the fields `(name, value)` as the browser sent them."""
        self._fields = fields

    def value(self, name: str) -> str:
        """The first field of that name; empty if there is none."""
        return next((value for key, value in self._fields if key == name), "")

    def values(self, name: str) -> list[str]:
        """All fields of that name, in their order."""
        return [value for key, value in self._fields if key == name]

    def rows(self, *names: str) -> list[tuple[str, ...]]:
        """Fields that belong together, line by line; raises InvalidArgument where one is missing."""
        columns = [self.values(name) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise InvalidArgument(f"Validation error: the form needs as many of each: {', '.join(names)}")
        return list(zip(*columns, strict=True))


Act = Callable[[Api, Form], str]


def new_run(calls: Api, form: Form) -> str:
    """A new run with the edited arguments, enqueued where a queue is chosen."""
    args = [{"name": name, "value": value} for name, value in form.rows("name", "value")]
    queue = {"queue": form.value("queue")} if form.value("queue") else {}
    made = calls.invoke("pipelines.start_pipeline", task=form.value("task"), args=args, **queue)
    return _shown(calls, made["pipeline"], "started" if queue else "drafted")


def clone(calls: Api, form: Form) -> str:
    """Make a draft with the same settings, under another name if one is given."""
    name = {"new_task_name": form.value("name")} if form.value("name") else {}
    made = calls.invoke("tasks.clone", task=form.value("task"), **name)
    return _shown(calls, made["id"], "cloned")


def parameters(calls: Api, form: Form) -> str:
    """Store the parameters of a draft; their types and descriptions stay."""
    task = _task(calls, form.value("task"))
    items = []
    for section, name, value in form.rows("section", "name", "value"):
        before: Document = task["hyperparams"].get(section, {}).get(name, {})
        items.append({**before, "section": section, "name": name, "value": value.replace("\r\n", "\n")})
    if task["status"] != "created":
        raise InvalidArgument("Only the parameters of a draft can be changed: clone the task first")
    calls.invoke("tasks.edit_hyper_params", task=task["id"], hyperparams=items)
    return f"{task_path(task)}/configuration?done=saved"


def enqueue(calls: Api, form: Form) -> str:
    """Put a draft or a task that ended on a queue."""
    calls.invoke("tasks.enqueue", task=form.value("task"), queue=form.value("queue"))
    return _shown(calls, form.value("task"), "queued")


def dequeue(calls: Api, form: Form) -> str:
    """Take a task off its queue; it is a draft again."""
    calls.invoke("tasks.dequeue", task=form.value("task"))
    return (
        "/queues?done=dequeued"
        if form.value("from") == "queues"
        else _shown(calls, form.value("task"), "dequeued")
    )


def abort(calls: Api, form: Form) -> str:
    """Stop a task; of a run the controller first, so that it starts nothing more, then its steps."""
    task = _task(calls, form.value("task"))
    ids = [task["id"], *_steps(calls, task, ACTIVE)]
    answer = calls.invoke("tasks.stop_many", ids=ids, status_reason="stopped from the page")
    if answer["failed"] and answer["failed"][0]["id"] == task["id"]:
        raise InvalidArgument(answer["failed"][0]["error"]["msg"])
    return _shown(calls, task["id"], "stopped")


def retry(calls: Api, form: Form) -> str:
    """Put a run that ended back on its queue: its controller takes what completed from the cache."""
    queue = {"queue": form.value("queue")} if form.value("queue") else {}
    calls.invoke("tasks.enqueue", task=form.value("task"), **queue)
    return _shown(calls, form.value("task"), "retried")


def reset(calls: Api, form: Form) -> str:
    """Make a task that ended a draft again; what it reported is gone."""
    calls.invoke("tasks.reset", task=form.value("task"))
    return _shown(calls, form.value("task"), "saved")


def publish(calls: Api, form: Form) -> str:
    """Publish a task: it cannot be changed any more."""
    calls.invoke("tasks.publish", task=form.value("task"))
    return _shown(calls, form.value("task"), "published")


def archive(calls: Api, form: Form) -> str:
    """Put a task into the archive, out of the lists and of the cache."""
    calls.invoke("tasks.archive_many", ids=[form.value("task")])
    return _shown(calls, form.value("task"), "archived")


def restore(calls: Api, form: Form) -> str:
    """Bring a task back from the archive."""
    calls.invoke("tasks.unarchive_many", ids=[form.value("task")])
    return _shown(calls, form.value("task"), "restored")


def delete(calls: Api, form: Form) -> str:
    """Delete a task, and with a run its own steps where that is asked for."""
    task = _task(calls, form.value("task"))
    ids = [task["id"], *(_steps(calls, task, UNSTOPPABLE) if form.value("steps") else [])]
    answer = calls.invoke("tasks.delete_many", ids=ids)
    if answer["failed"]:
        raise InvalidArgument(answer["failed"][0]["error"]["msg"])
    return "/?done=deleted" if task["type"] == "controller" else "/tasks?done=deleted"


def publish_model(calls: Api, form: Form) -> str:
    """Publish a model: it is ready to be used."""
    calls.invoke("models.set_ready", model=form.value("model"))
    return _model(calls, form.value("model"), "published")


def archive_model(calls: Api, form: Form) -> str:
    """Put a model into the archive."""
    calls.invoke("models.archive_many", ids=[form.value("model")])
    return _model(calls, form.value("model"), "archived")


def restore_model(calls: Api, form: Form) -> str:
    """Bring a model back from the archive."""
    calls.invoke("models.unarchive_many", ids=[form.value("model")])
    return _model(calls, form.value("model"), "restored")


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


MOVES = {
    "front": "queues.move_task_to_front",
    "back": "queues.move_task_to_back",
    "up": "queues.move_task_forward",
    "down": "queues.move_task_backward",
}

ACTIONS: dict[str, Act] = {
    "new-run": new_run,
    "clone": clone,
    "parameters": parameters,
    "enqueue": enqueue,
    "dequeue": dequeue,
    "abort": abort,
    "retry": retry,
    "reset": reset,
    "publish": publish,
    "archive": archive,
    "restore": restore,
    "delete": delete,
    "publish-model": publish_model,
    "archive-model": archive_model,
    "restore-model": restore_model,
    "move": move,
    "change-queue": change_queue,
    "new-queue": new_queue,
    "delete-queue": delete_queue,
}


def _task(calls: Api, task_id: str) -> Document:
    task: Document = calls.invoke("tasks.get_by_id", task=task_id)["task"]
    return task


def _steps(calls: Api, task: Document, statuses: frozenset[str]) -> list[str]:
    """The run's own steps in one of the statuses; a task that is no pipeline has none."""
    if task["type"] != "controller":
        return []
    found = calls.invoke(
        "tasks.get_all",
        parent=[task["id"]],
        status=sorted(statuses),
        search_hidden=True,
        only_fields=["id", "type"],
    )
    return [step["id"] for step in found["tasks"] if step["type"] != "controller"]


def _shown(calls: Api, task_id: str, done: str) -> str:
    return f"{task_path(_task(calls, task_id))}?done={done}"


def _model(calls: Api, model_id: str, done: str) -> str:
    model = calls.invoke("models.get_by_id", model=model_id)["model"]
    return f"/projects/{quote(model.get('project') or '*', safe='*')}/models/{quote(model['id'])}?done={done}"
