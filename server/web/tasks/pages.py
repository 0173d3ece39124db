"""Pages of tasks: the list, of all projects or of one, and one task tab by tab."""

from collections.abc import Callable
from dataclasses import dataclass

from server import documents
from server.documents import Document
from server.stores.projects import tree
from server.stores.queues import watchers
from server.web.shell import text
from server.web.shell.section import Download, Section, Shown, Values, Visit
from server.web.tasks import console, figures, listing, summary
from server.web.tasks.failure import failure_of

PAGE = 50
ACTIVE = frozenset({"queued", "in_progress"})
CHILDREN = 50
LAST_LINES = 12

section = Section()


@section.page("/tasks", "/projects/{project}", "/projects/{project}/experiments", "/projects/{project}/tasks",
              link="Tasks")  # fmt: skip
def task_list(visit: Visit) -> Shown:
    """Tasks of one project or of all."""
    project, title = visit.path.get("project", "*"), "Tasks"
    condition, values = "1", []
    if project != "*":
        title = visit.document("projects", project, "project")["name"]
        values = tree(visit.db, project)
        condition = f"project IN ({', '.join('?' * len(values))})"
    view = listing.view_of(visit)
    ids = listing.page_ids(visit, view, PAGE, condition, values)
    columns = summary.columns((*summary.FIELDS, "last_worker"))
    tasks = [dict(row) for row in listing.rows_of(visit.db, columns, ids[:PAGE])]
    shown = {
        "tasks": tasks,
        "names": documents.names(visit.db, "projects", [task["project"] or "" for task in tasks]),
        "title": title,
        "project": project,
    }
    return Shown(
        "tasks.html", shown | listing.values_of(visit, view, ids[:PAGE]) | visit.page_links(PAGE, len(ids))
    )


@section.page(
    "/projects/{project}/experiments/{task}",
    "/projects/{project}/experiments/{task}/{tab:path}",
    "/projects/{project}/tasks/{task}",
    "/projects/{project}/tasks/{task}/{tab:path}",
    "/pipelines/{project}/experiments/{task}/{tab:path}",
)
def task_page(visit: Visit) -> Shown:
    """One task: the tab that the address names."""
    task = visit.task()
    tab = tab_of(visit.path.get("tab", ""))
    return Shown(tab.template, head(visit, task) | {"tab": tab.title} | tab.values(visit, task))


def head(visit: Visit, task: Document) -> Values:
    """Return what the top of every tab shows."""
    project = documents.find(visit.db, "projects", task.get("project") or "") or {}
    base = text.task_path(task)
    return {
        "task": task,
        "project": project.get("name", ""),
        "tabs": [(f"{base}/{tab.slug}" if tab.slug else base, tab.title) for tab in TABS],
        "tab": TABS[0].title,
        "live": task["status"] in ACTIVE,
        "parent": summary.find(visit.db, task.get("parent")),
        "queues": queue_choices(visit),
        "queue": task["execution"].get("queue"),
        "failure": failure_of(visit.db, task) if task["status"] in ("failed", "stopped") else None,
        "archived": "archived" in task["system_tags"],
    }


def queue_choices(visit: Visit) -> list[tuple[Document, int]]:
    """Return every queue with the number of workers that serve it."""
    queues = documents.where(visit.db, "queues", "1 ORDER BY name")
    return [(queue, len(watchers(visit.db, queue["id"]))) for queue in queues]


def _overview(visit: Visit, task: Document) -> Values:
    children = documents.where(
        visit.db, "tasks", f"parent = ? ORDER BY rowid DESC LIMIT {CHILDREN}", (task["id"],)
    )
    metrics = _by_importance(summary.metrics(task))
    return {
        "sections": summary.sections(task),
        "metrics": metrics,
        "single": [entry for entry in metrics if entry["metric"] == "Summary"],
        "models": list(summary.models(visit.db, task)),
        "artifacts": summary.artifacts(task),
        "children": [summary.summary(child) for child in children],
        "entries": console.last_own(visit.db, task["id"], LAST_LINES),
    }


def _console(visit: Visit, task: Document) -> Values:
    """A page of the log, the reports that a search found, or what arrived after a report."""
    wanted, before = visit.query.get("q", "").strip(), visit.integer("before")
    if wanted:
        entries = console.search(visit.db, task["id"], wanted)
    elif "after" in visit.query:
        entries = console.since(visit.db, task["id"], visit.integer("after"))
    else:
        entries = console.newest(visit.db, task["id"], before)
    return {
        "entries": entries,
        "wanted": wanted,
        "before": before,
        "more": len(entries) == console.PAGE and not wanted,
        "last": console.last_number(visit.db, task["id"]),
        "by_agent": task["status"] not in ACTIVE and all(entry.by_agent for entry in entries),
    }


@section.data("/console/{task}")
def console_text(visit: Visit) -> Download:
    """The whole console of a task as a text file."""
    task = visit.task()
    return Download(f"{task['name']}.log", console.whole(visit.db, task["id"]))


def _scalars(visit: Visit, task: Document) -> Values:
    return {
        "metrics": _by_importance(summary.metrics(task)),
        "charts": figures.charts(visit.db, task["id"]),
        "has_epochs": figures.has_epochs(visit.db, task["id"]),
    }


def _by_importance(metrics: list[Document]) -> list[Document]:
    variants: dict[str, list[str]] = {}
    for entry in metrics:
        variants.setdefault(entry["metric"], []).append(entry["variant"])
    return sorted(metrics, key=lambda entry: figures.importance(entry["metric"], variants[entry["metric"]]))


def _plots(visit: Visit, task: Document) -> Values:
    return {"plots": figures.plots(visit.db, task)}


def _images(visit: Visit, task: Document) -> Values:
    return {"images": figures.images(visit, task["id"])}


def _configuration(visit: Visit, task: Document) -> Values:
    return {"sections": summary.sections(task)}


def _artifacts(visit: Visit, task: Document) -> Values:
    return {"artifacts": summary.artifacts(task), "models": list(summary.models(visit.db, task))}


@dataclass(frozen=True)
class Tab:
    """One tab: the slug in our own links, its title, and the words that name it in ClearML's addresses."""

    slug: str
    title: str
    words: tuple[str, ...]
    template: str
    values: Callable[[Visit, Document], Values]


TABS = (
    Tab("", "Overview", ("general", "info"), "task.html", _overview),
    Tab("output/log", "Console", ("log", "console"), "console.html", _console),
    Tab("info-output/metrics/scalar", "Scalars", ("scalar",), "scalars.html", _scalars),
    Tab("info-output/metrics/plots", "Plots", ("plots",), "plots.html", _plots),
    Tab("info-output/debugImages", "Images", ("debug",), "images.html", _images),
    Tab(
        "configuration",
        "Configuration",
        ("configuration", "hyper-params", "execution"),
        "configuration.html",
        _configuration,
    ),
    Tab("artifacts", "Artifacts", ("artifacts",), "artifacts.html", _artifacts),
)


def tab_of(path: str) -> Tab:
    """Return the tab that an address means, in our own form or in one of ClearML's."""
    for tab in reversed(TABS):
        if path and any(word in path for word in tab.words):
            return tab
    return TABS[0]
