"""ClearML tasks as typed records: the one reader of the server's task documents."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import count, islice
from typing import Any

from pipeline.connection import Api
from pipeline.errors import PipelineError
from steps.clearml.task import DONE

__all__ = [
    "DONE",
    "ENDED",
    "ParameterError",
    "TaskRecord",
    "TaskUnavailable",
    "exactly",
    "fetch",
    "find",
    "project_ids",
    "reference_id",
]

ENDED = (*DONE, "publishing", "failed", "stopped", "closed")
"""Statuses that a task leaves only when somebody resets or enqueues it again."""

PAGE = 200
"""Tasks per call: ClearML's server returns at most 500, and a document can be large."""

BASIC = (
    "id", "name", "project", "parent", "type", "status", "status_reason", "status_message", "tags",
    "system_tags", "created", "started", "completed", "last_update", "last_worker", "last_iteration",
    "execution.queue",
)  # fmt: skip
"""Fields that every record holds; the large ones are asked for by name."""

JSON_PARAMETERS = ("settings", "entry", "training", "label_set")
"""Parameters of a step that hold a JSON object; a train step before `entry` existed has `settings` alone."""

Section = dict[str, str]


class TaskUnavailable(PipelineError):
    """A task, run or dataset version that was asked for does not exist or has not completed."""


class ParameterError(PipelineError):
    """A parameter of a task does not hold the JSON object that it should."""


@dataclass(frozen=True)
class TaskRecord:
    """A ClearML task at one moment.

    Attributes:
        parent: the controller of a step; for a clone, the task that it was cloned from.
        reason: reason of the last change of status; servers, agents and the SDK use it and `message` alike.
        updated: time of the last sign of life.
        queue: id of the queue that the task was last enqueued on.
        worker: the worker that last ran the task.
        iteration: the last iteration that the task reported.
        parameters: parameters as text, by section and name.
        metrics: last reported values by `(metric, variant)`.
        configuration: texts of the configuration objects, by name.
    """

    id: str
    name: str = ""
    project: str = ""
    parent: str = ""
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    tags: tuple[str, ...] = ()
    system_tags: tuple[str, ...] = ()
    created: datetime | None = None
    started: datetime | None = None
    completed: datetime | None = None
    updated: datetime | None = None
    worker: str = ""
    queue: str = ""
    iteration: int = 0
    parameters: Mapping[str, Section] = field(default_factory=dict)
    metrics: Mapping[tuple[str, str], float] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TaskRecord":
        """Read a task document; fields that were not asked for keep their defaults."""
        return cls(
            id=document["id"],
            name=document.get("name") or "",
            project=reference_id(document.get("project")),
            parent=reference_id(document.get("parent")),
            type=document.get("type") or "",
            status=document.get("status") or "",
            reason=document.get("status_reason") or "",
            message=document.get("status_message") or "",
            tags=tuple(document.get("tags") or ()),
            system_tags=tuple(document.get("system_tags") or ()),
            created=_moment(document.get("created")),
            started=_moment(document.get("started")),
            completed=_moment(document.get("completed")),
            updated=_moment(document.get("last_update")),
            worker=document.get("last_worker") or "",
            queue=reference_id((document.get("execution") or {}).get("queue")),
            iteration=int(document.get("last_iteration") or 0),
            parameters={
                section: _texts(items) for section, items in (document.get("hyperparams") or {}).items()
            },
            metrics={
                (item["metric"], item["variant"]): item["value"]
                for variants in (document.get("last_metrics") or {}).values()
                for item in variants.values()
                if item.get("value") is not None
            },
            configuration=_texts(document.get("configuration") or {}),
            runtime={name: str(value) for name, value in (document.get("runtime") or {}).items()},
        )

    @property
    def done(self) -> bool:
        """True if the task completed: its results can be used."""
        return self.status in DONE

    @property
    def ended(self) -> bool:
        """True if nothing is going to run the task any more."""
        return self.status in ENDED

    @property
    def seconds(self) -> float:
        """Time at work so far; 0 before the start."""
        if self.started is None:
            return 0.0
        end = self.completed if self.ended and self.completed else datetime.now(UTC)
        return (end - self.started).total_seconds()

    def section(self, name: str) -> Section:
        """Return the parameters of one section; empty if the task has none."""
        return self.parameters.get(name, {})

    @property
    def arguments(self) -> Section:
        """Arguments of the step's function, as the controller passed them; empty for a plain training."""
        return self.section("kwargs")

    @property
    def returned(self) -> Section:
        """Values that the step returned, by name."""
        return self.section("return")

    @property
    def properties(self) -> Section:
        """User properties."""
        return self.section("properties")

    @cached_property
    def settings(self) -> Section:
        """The step's arguments with the members of its JSON objects beside them, all as text.

        A plain training has no arguments: its user properties hold the settings.

        Raises:
            ParameterError: an argument is no JSON object.
        """
        values = dict(self.arguments or self.properties)
        for name in JSON_PARAMETERS:
            values |= self._json_object(name, values.pop(name, ""))
        return values

    def _json_object(self, name: str, text: str) -> Section:
        try:
            members = json.loads(text or "{}").items()
        except (ValueError, AttributeError) as error:
            raise ParameterError(f"task {self.id}: parameter {name!r} is no JSON object: {text!r}") from error
        # An entry's own `training` is merged into the argument `training`.
        return {key: _text(value) for key, value in members if key not in JSON_PARAMETERS}

    def stored(self, name: str) -> dict[str, Any]:
        """Return the JSON object in the configuration object `name`; empty if it is missing."""
        members: dict[str, Any] = json.loads(self.configuration.get(name) or "{}")
        return members


def fetch(api: Api, ids: Iterable[str], *fields: str) -> dict[str, TaskRecord]:
    """Return the tasks `ids` that exist, by id and in the order of `ids`.

    Args:
        api: the server.
        ids: task ids; empty ones are passed over.
        fields: what a record should hold beside `BASIC`, such as `hyperparams.kwargs` or `last_metrics`.
    """
    wanted = list(dict.fromkeys(task_id for task_id in ids if task_id))
    records: dict[str, TaskRecord] = {}
    for start in range(0, len(wanted), PAGE):
        page = wanted[start : start + PAGE]
        documents = _get_all(api, fields, id=page, page=0, page_size=PAGE)
        records |= {document["id"]: TaskRecord.of(document) for document in documents}
    return {task_id: records[task_id] for task_id in wanted if task_id in records}


def find(api: Api, *fields: str, limit: int | None = None, **conditions: Any) -> Iterator[TaskRecord]:
    """Yield the tasks that meet `conditions`, the arguments of `tasks.get_all`; hidden ones too.

    Args:
        api: the server.
        fields: what a record should hold beside `BASIC`.
        limit: yield at most so many.
        conditions: such as `parent=run_id`, `status=[...]`, `order_by=["created"]`. A name is a pattern: see
            `exactly`.
    """
    size = min(limit or PAGE, PAGE)
    # Without an order, a task could move from one page to the next between two calls.
    conditions = {"order_by": ["created", "id"], **conditions}

    def records() -> Iterator[TaskRecord]:
        for page in count():
            documents = _get_all(api, fields, page=page, page_size=size, **conditions)
            yield from map(TaskRecord.of, documents)
            if len(documents) < size:
                return

    return islice(records(), limit)


def project_ids(api: Api, pattern: str) -> list[str]:
    """Return the ids of the projects whose names match `pattern`, hidden ones too."""
    projects = api.call("projects.get_all", name=pattern, search_hidden=True, only_fields=["id"])["projects"]
    return [project["id"] for project in projects]


def exactly(name: str) -> str:
    """Return the pattern that matches only `name`, which may hold characters such as `(`."""
    return f"^{re.escape(name)}$"


def reference_id(reference: Any) -> str:
    """Return an id, for a reference that the server answers bare or as a document."""
    return str(reference["id"] if isinstance(reference, Mapping) else reference or "")


def _get_all(api: Api, fields: Iterable[str], **conditions: Any) -> list[dict[str, Any]]:
    body = {"only_fields": [*BASIC, *fields], "search_hidden": True, **conditions}
    documents: list[dict[str, Any]] = api.call("tasks.get_all", **body)["tasks"]
    return documents


def _texts(items: Mapping[str, Any]) -> Section:
    return {name: _text(item.get("value")) for name, item in items.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
