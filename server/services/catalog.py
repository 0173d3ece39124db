"""All the services; the API serves what stands here."""

from server.dispatch import Service
from server.services import auth, models, organization, pipelines, queues, users, workers
from server.services.events import debug_images as samples
from server.services.events import events
from server.services.projects import facets as project_facets
from server.services.projects import projects
from server.services.tasks import parts as task_parts
from server.services.tasks import queueing as task_queueing
from server.services.tasks import removal as task_removal
from server.services.tasks import status as task_status
from server.services.tasks import tasks

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
