"""Form actions of a task or a run, each by the API call that ClearML's own page makes."""

from functools import partial
from urllib.parse import urlencode

from server.documents import Document
from server.errors import InvalidArgument
from server.guard import has_one_reading
from server.web.shell.section import Form, Section
from server.web.shell.text import task_path

ACTIVE = frozenset({"in_progress", "queued"})
REMOVABLE = frozenset({"created", "completed", "failed", "stopped", "closed"})

section = Section()


@section.action("clone", "This is the clone, a draft: edit and enqueue it.")
def clone(form: Form) -> str:
    """Make a draft with the same settings, under another name if the form gives one."""
    name = {"new_task_name": form.value("name")} if form.value("name") else {}
    return path_of(form, form.api.invoke("tasks.clone", task=form.value("task"), **name)["id"])


@section.action("parameters", "The parameters are saved.")
def parameters(form: Form) -> str:
    """Store the parameters of a draft; their types and descriptions stay."""
    task = _task(form, form.value("task"))
    items = []
    for group, name, value in form.rows("section", "name", "value"):
        before: Document = task["hyperparams"].get(group, {}).get(name, {})
        items.append({**before, "section": group, "name": name, "value": value.replace("\r\n", "\n")})
    if task["status"] != "created":
        raise InvalidArgument("Only a draft's parameters can be changed: clone the task first")
    form.api.invoke("tasks.edit_hyper_params", task=task["id"], hyperparams=items)
    return f"{task_path(task)}/configuration"


@section.action("enqueue", "The task waits in its queue.")
def enqueue(form: Form) -> str:
    """Enqueue a draft or a task that has ended."""
    _enqueue(form)
    return path_of(form, form.value("task"))


@section.action("retry", "The run waits in its queue; completed steps will come from the cache.")
def retry(form: Form) -> str:
    """Enqueue a run that has ended again: its controller takes completed steps from the cache."""
    _enqueue(form)
    return path_of(form, form.value("task"))


@section.action("dequeue", "The task was removed from its queue.")
def dequeue(form: Form) -> str:
    """Remove a task from its queue; it becomes what it was before."""
    form.api.invoke("tasks.dequeue", task=form.value("task"))
    return "/queues" if form.value("from") == "queues" else path_of(form, form.value("task"))


@section.action("abort", "The task is being stopped.")
def abort(form: Form) -> str:
    """Stop a task or a run."""
    task = _task(form, form.value("task"))
    _abort(form, task)
    return task_path(task)


@section.action("reset", "The task is a draft again.")
def reset(form: Form) -> str:
    """Turn a task that has ended into a draft; its reports are deleted."""
    form.api.invoke("tasks.reset", task=form.value("task"))
    return path_of(form, form.value("task"))


@section.action("publish", "Published.")
def publish(form: Form) -> str:
    """Publish a task: it cannot be changed any more."""
    form.api.invoke("tasks.publish", task=form.value("task"))
    return path_of(form, form.value("task"))


@section.action("archive", "Archived. Find it with “archived” ticked in the list.")
def archive(form: Form) -> str:
    """Archive a task: lists and the cache ignore it."""
    form.api.invoke("tasks.archive_many", ids=[form.value("task")])
    return path_of(form, form.value("task"))


@section.action("restore", "Restored from the archive.")
def restore(form: Form) -> str:
    """Restore a task from the archive."""
    form.api.invoke("tasks.unarchive_many", ids=[form.value("task")])
    return path_of(form, form.value("task"))


@section.action("delete", "Deleted.")
def delete(form: Form) -> str:
    """Delete a task and its files, and a run's own steps if the form asks for it."""
    task = _task(form, form.value("task"))
    _delete(form, task)
    return "/" if task["type"] == "controller" else "/tasks"


@section.action("compare", "")
def compare(form: Form) -> str:
    """Go to the comparison of the ticked tasks."""
    return f"/compare?{urlencode([('ids', task) for task in form.values('ids')])}"


@section.action("archive-ticked", "Archived.")
def archive_ticked(form: Form) -> str:
    """Archive the ticked tasks."""
    form.api.invoke("tasks.archive_many", ids=form.values("ids"))
    return _back(form)


@section.action("restore-ticked", "Restored from the archive.")
def restore_ticked(form: Form) -> str:
    """Restore the ticked tasks from the archive."""
    form.api.invoke("tasks.unarchive_many", ids=form.values("ids"))
    return _back(form)


@section.action("abort-ticked", "The tasks are being stopped.")
def abort_ticked(form: Form) -> str:
    """Stop those of the ticked tasks that run or wait."""
    for task in map(partial(_task, form), form.values("ids")):
        if task["status"] in ACTIVE:
            _abort(form, task)
    return _back(form)


@section.action("delete-ticked", "Deleted.")
def delete_ticked(form: Form) -> str:
    """Delete the ticked tasks and their files; none of them if one still runs."""
    tasks = [_task(form, task) for task in form.values("ids")]
    for task in tasks:
        _require_removable(task)
    for task in tasks:
        _delete(form, task)
    return _back(form)


@section.action("tag", "The tags are changed.")
def tag(form: Form) -> str:
    """Add a tag to tasks or remove it from them; of one task, show its page."""
    name = form.value("tag").strip()
    if not name:
        raise InvalidArgument("Validation error: the tag needs a name")
    change = "remove_tags" if form.value("change") == "remove" else "add_tags"
    if form.value("task"):
        form.api.invoke("tasks.update_tags", ids=[form.value("task")], **{change: [name]})
        return path_of(form, form.value("task"))
    form.api.invoke("tasks.update_tags", ids=form.values("ids"), **{change: [name]})
    return _back(form)


def _back(form: Form) -> str:
    """Return the list with its filters, from which the form was sent."""
    address = form.value("back")
    path = address.partition("?")[0]
    return address if path.isascii() and path.startswith("/") and has_one_reading(path.encode()) else "/"


def _abort(form: Form, task: Document) -> None:
    """Stop a task; of a run the controller first, so that it starts nothing more, then its steps."""
    ids = [task["id"], *_steps(form, task, ACTIVE)]
    answer = form.api.invoke("tasks.stop_many", ids=ids, status_reason="stopped from the page")
    if answer["failed"] and answer["failed"][0]["id"] == task["id"]:
        raise InvalidArgument(answer["failed"][0]["error"]["msg"])


def _require_removable(task: Document) -> None:
    if task["status"] not in REMOVABLE:
        raise InvalidArgument(
            f"{task['name']} is {task['status']}: only drafts and ended tasks can be deleted"
        )


def _delete(form: Form, task: Document) -> None:
    _require_removable(task)
    ids = [task["id"], *(_steps(form, task, REMOVABLE) if form.value("steps") else [])]
    answer = form.api.invoke("tasks.delete_many", ids=ids, force=True, return_file_urls=True)
    for deleted in answer["succeeded"]:
        form.leftovers.remove(deleted["id"], [url for urls in deleted["urls"].values() for url in urls])
    if answer["failed"]:
        raise InvalidArgument(answer["failed"][0]["error"]["msg"])


def path_of(form: Form, task_id: str) -> str:
    """Return the address of a task's page."""
    return task_path(_task(form, task_id))


def _task(form: Form, task_id: str) -> Document:
    task: Document = form.api.invoke("tasks.get_by_id", task=task_id)["task"]
    return task


def _enqueue(form: Form) -> None:
    """Enqueue the form's task in its queue or the default; a completed task needs ``force``."""
    task = _task(form, form.value("task"))
    queue = {"queue": form.value("queue")} if form.value("queue") else {}
    form.api.invoke("tasks.enqueue", task=task["id"], force=task["status"] == "completed", **queue)


def _steps(form: Form, task: Document, statuses: frozenset[str]) -> list[str]:
    """Return the ids of a run's own steps in one of the statuses; none if the task is no run.

    A clone of the run has the run as its parent too, but is a controller.
    """
    if task["type"] != "controller":
        return []
    answer = form.api.invoke(
        "tasks.get_all",
        parent=[task["id"]],
        status=sorted(statuses),
        search_hidden=True,
        only_fields=["id", "type"],
    )
    return [step["id"] for step in answer["tasks"] if step["type"] != "controller"]
