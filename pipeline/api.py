"""Calls to the ClearML server by the names of its API, over the SDK's own session."""

from typing import Any

from clearml.backend_api import Session
from clearml.backend_api.session.defs import MissingConfigError

from pipeline.errors import NoServer, PipelineError


class ApiError(PipelineError):
    """The server refused a call."""


class Api:
    """One logged-in session; `call("tasks.get_all", id=[...])` answers the call's `data`."""

    def __init__(self) -> None:
        try:
            self._session = Session()
        except (ValueError, MissingConfigError) as error:
            raise NoServer(f"the ClearML server does not let us in: {error}") from error

    @property
    def host(self) -> str:
        """Address of the API."""
        return str(self._session.host)

    @property
    def web(self) -> str:
        """Address of the web page, without a slash at its end."""
        return str(self._session.get_app_server_host()).rstrip("/")

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """Call `service.action` and return its `data`. Raises ApiError with the server's own message."""
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
