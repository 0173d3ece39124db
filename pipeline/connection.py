"""The connection to the ClearML server: the server that the settings name, and calls to its API."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.env_files import LOCAL, local_variables
from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout that this package was installed from."""

HOST, WEB, FILES = "CLEARML_API_HOST", "CLEARML_WEB_HOST", "CLEARML_FILES_HOST"
KEY, SECRET = "CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY"
NAMES = (HOST, WEB, FILES, KEY, SECRET)

ANSWER_SECONDS = 10
"""Time for the server to answer at login; the SDK itself would retry for many minutes."""


class NoServer(PipelineError):
    """No ClearML server answers where the settings name one, or it refuses the keys."""


class ApiError(PipelineError):
    """The server refused a call."""


def use_kaggle_credentials(folder: Path = ROOT) -> None:
    """Add the `KAGGLE_*` variables of `.env.local` in `folder` to the environment, which workers inherit.

    Variables that are set already keep their values.
    """
    for name, value in local_variables(folder).items():
        if name.startswith("KAGGLE_"):
            os.environ.setdefault(name, value)


@dataclass(frozen=True)
class Connection:
    """Settings of a server: their origin, and the environment variables that the SDK reads."""

    origin: str
    variables: Mapping[str, str]

    def use(self) -> None:
        """Put the settings into this process's environment; call it before the SDK is imported."""
        os.environ.update(self.variables)


def named_server(environment: Mapping[str, str], folder: Path = ROOT) -> Connection | None:
    """Return the server that is named by the environment, else by `.env.local`, else by `clearml.conf`.

    Raises:
        NoServer: a host is named without keys, or keys without a host.
    """
    for origin, values in (("the environment", environment), (LOCAL, local_variables(folder))):
        variables = {name: values[name] for name in NAMES if values.get(name)}
        missing = [name for name in (HOST, KEY, SECRET) if name not in variables]
        if variables and missing:
            raise NoServer(
                f"{origin} sets {', '.join(variables)} but not {', '.join(missing)}; set all or none of them"
            )
        if variables:
            return Connection(origin, variables)
    conf = Path(environment.get("CLEARML_CONFIG_FILE", "~/clearml.conf")).expanduser()
    return Connection(str(conf), {"CLEARML_CONFIG_FILE": str(conf)}) if conf.is_file() else None


class Api:
    """Logged-in session; `call("tasks.get_all", id=[...])` returns the call's `data`."""

    def __init__(self) -> None:
        """Log in with the SDK's settings. Raises NoServer naming the host and the cause."""
        # Not before `Connection.use`: the SDK reads its configuration when it is imported.
        import requests
        from clearml.backend_api import Session
        from clearml.backend_api.session.session import LoginError

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
