"""Tells a webhook of a failed run and of a new published best; a webhook that fails never fails the run."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml
from dotenv import dotenv_values

from pipeline.connection import ROOT

VARIABLE = "PLANETS_WEBHOOK"
WAITS = (0.0, 1.0, 4.0)
"""Seconds before each attempt."""

ANSWER_SECONDS = 5


def webhook(environment: Mapping[str, str] = os.environ, folder: Path = ROOT) -> str:
    """The URL that is told, by the environment, `.env.local` or `configs/project.yaml`; empty for none.

    It may hold a token, so it does not travel with a run: the machine that the controller runs on has it.
    """
    local = dotenv_values(folder / ".env.local")
    project = yaml.safe_load((folder / "configs" / "project.yaml").read_text(encoding="utf-8"))
    return environment.get(VARIABLE) or local.get(VARIABLE) or str(project["notify"]["webhook"])


def notify(url: str, document: Mapping[str, Any]) -> None:
    """POST `document` as JSON to `url`, if there is one; print what came of it, but never the URL's path."""
    if not url:
        return
    host = urlsplit(url).hostname
    said = ""
    for wait in WAITS:
        time.sleep(wait)
        said, again = _attempt(url, document)
        if not said:
            print(f"told {host}: {document['text']}")
            return
        if not again:
            break
    print(f"the webhook at {host} was not told of it: {said}; see {VARIABLE} or notify.webhook")


def _attempt(url: str, document: Mapping[str, Any]) -> tuple[str, bool]:
    """What went wrong, empty if nothing did, and whether another attempt may help."""
    try:
        answer = requests.post(url, json=document, timeout=ANSWER_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        # The error's own text quotes the URL.
        return type(error).__name__, isinstance(error, (requests.ConnectionError, requests.Timeout))
    if answer.ok and not answer.is_redirect:
        return "", False
    return f"it answered {answer.status_code}", answer.status_code == 429 or answer.status_code >= 500
