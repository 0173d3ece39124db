"""One task, tab by tab."""

from collections.abc import Iterator
from dataclasses import dataclass

from server import documents
from server.documents import Document
from server.stores.queues import watchers
from server.web.runs import runs
from server.web.shell import text
from server.web.shell.section import Shown, Visit
from server.web.tasks import console
from server.web.tasks import figures as plots

ACTIVE = frozenset({"queued", "in_progress"})

# Slug in our own links, title, and the words by which ClearML's addresses mean the tab.
TABS = (
    ("", "Overview", ("general", "info")),
    ("output/log", "Console", ("log", "console")),
    ("info-output/metrics/scalar", "Scalars", ("scalar",)),
    ("info-output/metrics/plots", "Plots", ("plots",)),
    ("info-output/debugImages", "Images", ("debug",)),
    ("configuration", "Configuration", ("configuration", "hyper-params", "execution")),
    ("artifacts", "Artifacts", ("artifacts",)),
)


@dataclass(frozen=True)
class Artifact:
    """A file that a task made; ``link`` only where a browser may follow it."""

    key: str
    type: str
    size: str
    link: str | None
    uri: str
    preview: str
    digest: str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a task, with its section."""

    section: str
    name: str
    value: str
    type: str
    description: str


def page(visit: Visit) -> Shown:
    """One task: the tab that the address names."""
    task = visit.task()
    tab = tab_of(visit.path.get("tab", ""))
    values = head(visit, task) | {"tab": tab}
    if tab == "Console":
        return Shown("console.html", values | console_values(visit, task))
    if tab == "Scalars":
        return Shown(
            "scalars.html", values | {"metrics": metrics(task), "charts": plots.charts(visit.db, task["id"])}
        )
    if tab == "Plots":
        return Shown("plots.html", values | {"plots": plots.plots(visit.db, task["id"])})
    if tab == "Images":
        return Shown("images.html", values | {"images": plots.images(visit, task["id"])})
    if tab == "Configuration":
        return Shown("configuration.html", values | {"sections": sections(task)})
    if tab == "Artifacts":
        shown = {"artifacts": list(artifacts(task)), "models": list(models(visit, task))}
        return Shown("artifacts.html", values | shown)
    return Shown("task.html", values | _overview(visit, task))


def tab_of(path: str) -> str:
    """The title of the tab that an address means, in our own form or in one of ClearML's."""
    for _, title, words in reversed(TABS):
        if path and any(word in path for word in words):
            return title
    return TABS[0][1]


def head(visit: Visit, task: Document) -> Document:
    """What the top of every tab shows."""
    project = documents.find(visit.db, "projects", task.get("project") or "") or {}
    queues = documents.where(visit.db, "queues", "1 ORDER BY name")
    base = text.task_path(task)
    return {
        "task": task,
        "project": project.get("name", ""),
        "tabs": [(f"{base}/{slug}" if slug else base, title) for slug, title, _ in TABS],
        "tab": TABS[0][1],
        "live": task["status"] in ACTIVE,
        "parent": _parent(visit, task),
        "queues": [(queue, len(watchers(visit.db, queue["id"]))) for queue in queues],
        "queue": task["execution"].get("queue"),
        "error": console.last_error(visit.db, task["id"]) if task["status"] == "failed" else "",
        "archived": "archived" in task["system_tags"],
    }


def console_values(visit: Visit, task: Document) -> Document:
    """What the console shows: a page of the log, or the lines that a search found."""
    wanted = visit.query.get("q", "").strip()
    after, before = visit.integer("after"), visit.integer("before")
    if wanted:
        entries = console.search(visit.db, task["id"], wanted)
    elif "after" in visit.query:
        entries = console.since(visit.db, task["id"], after)
    else:
        entries = console.newest(visit.db, task["id"], before)
    more = len(entries) == console.PAGE and not wanted
    return {"entries": entries, "wanted": wanted, "more": more, "before": before, "long": console.LONG}


def sections(task: Document) -> list[tuple[str, list[Parameter]]]:
    """The parameters by section; what the task returned last."""
    names = sorted(task["hyperparams"], key=lambda name: (name == "return", name != "Args", name.lower()))
    return [
        (name, [_parameter(name, key, item) for key, item in task["hyperparams"][name].items()])
        for name in names
    ]


def metrics(task: Document) -> list[Document]:
    """The last values of all metrics, the machine's own at the end."""
    entries = [entry for variants in task["last_metrics"].values() for entry in variants.values()]
    return sorted(
        entries, key=lambda entry: (entry["metric"].startswith(":"), entry["metric"], entry["variant"])
    )


def artifacts(task: Document) -> Iterator[Artifact]:
    """The artifacts of a task, each with its preview."""
    for item in task["execution"].get("artifacts", []):
        data = item.get("type_data")
        preview = data.get("preview") if isinstance(data, dict) else None
        yield Artifact(
            key=item["key"],
            type=str(item.get("type", "")),
            size=text.size(item.get("content_size")),
            link=text.link(item.get("uri")),
            uri=str(item.get("uri") or ""),
            preview=preview[:20_000] if isinstance(preview, str) else "",
            digest=str(item.get("hash") or ""),
        )


def models(visit: Visit, task: Document) -> Iterator[tuple[str, Document]]:
    """(input or output, model) of the task's models; one that is gone has a name only."""
    for side in ("input", "output"):
        for item in task["models"].get(side, []):
            yield side, documents.find(visit.db, "models", item["model"]) or {"name": item["name"]}


def _overview(visit: Visit, task: Document) -> Document:
    children = documents.where(visit.db, "tasks", "parent = ? ORDER BY rowid DESC LIMIT 50", (task["id"],))
    return {
        "sections": sections(task),
        "metrics": metrics(task),
        "single": [entry for entry in metrics(task) if entry["metric"] == "Summary"],
        "models": list(models(visit, task)),
        "artifacts": list(artifacts(task)),
        "children": [runs.short(child) for child in children],
        "entries": console.newest(visit.db, task["id"])[-12:],
        "long": console.LONG,
    }


def _parent(visit: Visit, task: Document) -> Document | None:
    found = documents.find(visit.db, "tasks", task.get("parent") or "")
    return runs.short(found) if found else None


def _parameter(section: str, name: str, item: Document) -> Parameter:
    return Parameter(
        section, name, runs.value(item), str(item.get("type") or ""), str(item.get("description") or "")
    )
