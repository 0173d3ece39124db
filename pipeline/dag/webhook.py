"""The webhook: a JSON document on a failed run and on a new published best.

The controller sends it, so runs started from the page notify as well. A failing webhook never fails a run.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import stamina
import yaml
from clearml import PipelineController, Task

from pipeline.config.env_files import local_variables
from pipeline.config.folders import CONFIGS, ROOT
from pipeline.connection import Api

VARIABLE = "PLANETS_WEBHOOK"
ATTEMPTS = 3
ANSWER_SECONDS = 5


class _Refused(Exception):
    """The receiver did not accept the document. The text never quotes the URL, which may hold a token."""


class _Busy(_Refused):
    """The receiver may accept it later."""


def report_failure(pipe: PipelineController, reason: str) -> None:
    """Report that the run failed, and by which steps."""
    notify(webhook(), _document(pipe, "run_failed", f"failed: {reason}", {"reason": reason}))


def report_new_best(pipe: PipelineController, nodes: Iterable[PipelineController.Node]) -> None:
    """Report the run's best model if `select` has just published it, and not if that came from the cache."""
    select = next((node for node in nodes if node.name == "select"), None)
    if select is None or select.status != "completed":
        return
    returned = Task.get_task(task_id=select.job.task_id()).get_parameters_as_dict()["return"]
    publication = json.loads(returned["publication"])
    if publication["published"]:
        best = {name: float(returned[name]) for name in ("valid_f2", "test_f2")}
        best |= {"name": returned["name"], "model_id": returned["model_id"]}
        text = f"new best {returned['name']}, test F2 {best['test_f2']:.4f}; {publication['why']}"
        notify(webhook(), _document(pipe, "new_best", text, {"best": best, "publication": publication}))


def webhook(environment: Mapping[str, str] = os.environ, folder: Path = ROOT, configs: Path = CONFIGS) -> str:
    """Return the URL from the environment, `.env.local` or `configs/project.yaml`; empty for none.

    It may hold a token, so it does not travel with a run: the controller's machine has it.
    """
    local = local_variables(folder)
    project = yaml.safe_load((configs / "project.yaml").read_text(encoding="utf-8"))
    return environment.get(VARIABLE) or local.get(VARIABLE) or str(project["notify"]["webhook"])


def notify(url: str, document: Mapping[str, Any]) -> None:
    """POST `document` as JSON to `url`, if there is one, and print the outcome without the URL's path."""
    if not url:
        return
    host = urlsplit(url).hostname
    try:
        # As a context: a decorated function's arguments, and so the URL, could reach a log.
        for attempt in stamina.retry_context(on=_Busy, attempts=ATTEMPTS, wait_initial=1.0, wait_exp_base=4):
            with attempt:
                _post(url, document)
    except _Refused as error:
        print(f"the webhook at {host} was not notified: {error}; see {VARIABLE} or notify.webhook")
    else:
        print(f"notified {host}: {document['text']}")


def _post(url: str, document: Mapping[str, Any]) -> None:
    try:
        answer = requests.post(url, json=document, timeout=ANSWER_SECONDS, allow_redirects=False)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Busy(type(error).__name__) from None
    except requests.RequestException as error:
        raise _Refused(type(error).__name__) from None
    if answer.status_code == 429 or answer.status_code >= 500:
        raise _Busy(f"it answered {answer.status_code}")
    if not answer.ok or answer.is_redirect:
        raise _Refused(f"it answered {answer.status_code}")


def _document(pipe: PipelineController, event: str, text: str, details: dict[str, Any]) -> dict[str, Any]:
    """Return what a receiver gets: `text` for Slack and its like, the rest for programs."""
    task = pipe.task
    address = f"{Api(wait=True).web}/pipelines/{task.project}/experiments/{task.id}"
    subject = {"event": event, "run": task.name, "run_id": task.id, "url": address}
    return {"text": f"{task.name} {text} {address}", **subject, **details}
