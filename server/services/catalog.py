"""All the services; the API serves what stands here."""

from server.rpc import Service
from server.services import (
    auth,
    events,
    models,
    organization,
    pipelines,
    project_facets,
    projects,
    queues,
    samples,
    task_parts,
    task_queueing,
    task_removal,
    task_status,
    tasks,
    users,
    workers,
)

MODULES = (
    auth,
    events,
    models,
    organization,
    pipelines,
    project_facets,
    projects,
    queues,
    samples,
    task_parts,
    task_queueing,
    task_removal,
    task_status,
    tasks,
    users,
    workers,
)

SERVICES: tuple[Service, ...] = tuple(module.service for module in MODULES)
