"""Calls to the ClearML API by name, over the SDK's own session."""

from typing import Any

import requests
from clearml.backend_api import Session
from clearml.backend_api.session.session import LoginError

from pipeline.connection import NoServer
from pipeline.errors import PipelineError

ANSWER_SECONDS = 10
"""Time for the server to answer at login; the SDK itself would retry for many minutes."""


class ApiError(PipelineError):
    """The server refused a call."""


class Api:
    """Logged-in session; `call("tasks.get_all", id=[...])` returns the call's `data`."""

    def __init__(self) -> None:
        """Log in with the SDK's settings. Raises NoServer naming the host and the cause."""
        host = str(Session.get_api_server_host()).rstrip("/")
        try:
            requests.get(f"{host}/debug.ping", timeout=ANSWER_SECONDS)
        except requests.RequestException as error:
            raise NoServer(f"no ClearML server answers at {host}: {error}") from error
        try:
            self._session = Session()
        except (LoginError, ValueError) as error:
            raise NoServer(f"the ClearML server at {host} refuses the login: {error}") from error

    @property
    def host(self) -> str:
        """Address of the API."""
        return str(self._session.host)

    @property
    def web(self) -> str:
        """Address of the web page, without a trailing slash."""
        return str(self._session.get_app_server_host()).rstrip("/")

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """Call `service.action` and return its `data`. Raises ApiError with the server's message."""
        service, action = name.split(".")
        answer = self._session.send_request(service, action, json=body)
        try:
            envelope = answer.json()
        except ValueError as error:
            raise ApiError(f"{name}: {self.host} answered {answer.status_code} and no JSON") from error
        if answer.status_code != 200:
            raise ApiError(f"{name}: {envelope.get('meta', {}).get('result_msg', answer.status_code)}")
        data = envelope["data"]
        return data if isinstance(data, dict) else {}
