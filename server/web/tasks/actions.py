"""What the forms of a task and of a run do: each by the call that ClearML's own page makes for it."""

from server.dispatch import Api
from server.documents import Document
from server.errors import InvalidArgument
from server.files.tree import Leftovers
from server.web.shell.form import Form
from server.web.shell.text import task_path

ACTIVE = frozenset({"in_progress", "queued"})
UNSTOPPABLE = frozenset({"created", "completed", "failed", "stopped", "published"})


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


def delete(calls: Api, form: Form, leftovers: Leftovers) -> str:
    """Delete a task with its files, and with a run its own steps where that is asked for."""
    task = _task(calls, form.value("task"))
    ids = [task["id"], *(_steps(calls, task, UNSTOPPABLE) if form.value("steps") else [])]
    answer = calls.invoke("tasks.delete_many", ids=ids, return_file_urls=True)
    for gone in answer["succeeded"]:
        leftovers.remove(gone["id"], [url for urls in gone["urls"].values() for url in urls])
    if answer["failed"]:
        raise InvalidArgument(answer["failed"][0]["error"]["msg"])
    return "/?done=deleted" if task["type"] == "controller" else "/tasks?done=deleted"


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
