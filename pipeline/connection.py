"""The connection to the ClearML server: the server that the settings name, and calls to its API."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from typing import Any, TypeVar

from pipeline.config.clearml_conf import conf_file, require_server
from pipeline.config.env_files import LOCAL, local_variables
from pipeline.config.folders import ROOT
from pipeline.errors import PipelineError
from planets.environment import bypass_proxies

HOST, WEB, FILES = "CLEARML_API_HOST", "CLEARML_WEB_HOST", "CLEARML_FILES_HOST"
KEY, SECRET = "CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY"
NAMES = (HOST, WEB, FILES, KEY, SECRET)

T = TypeVar("T")

ANSWER_SECONDS = 10
"""Time for the server to answer at login, and for a call before the silence is reported."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
"""Seconds between the tries of a call; each wait is twice the one before."""

OUTAGE_SECONDS = 1800
"""Time without an answer after which a call fails."""

UNAVAILABLE = (502, 503, 504)
"""Statuses of a server, or of the proxy in front of it, that cannot answer now."""


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
    """Settings of a server.

    Attributes:
        origin: what names the server.
        variables: environment variables that the SDK reads.
        own_hosts: addresses of this machine among them; no proxy is asked for these.
    """

    origin: str
    variables: Mapping[str, str]
    own_hosts: Sequence[str] = ()

    def use(self) -> None:
        """Put the settings into this process's environment; call it before the SDK is imported."""
        os.environ.update(self.variables)
        bypass_proxies(self.own_hosts)


def named_server(environment: Mapping[str, str], folder: Path = ROOT) -> Connection | None:
    """Return the server that is named by the environment, else by `.env.local`, else by `clearml.conf`.

    Raises:
        NoServer: a host is named without keys, or keys without a host.
        ConfFileError: `clearml.conf` cannot be read, or names no server.
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
    conf = conf_file(environment)
    if not conf.is_file():
        return None
    require_server(conf)
    return Connection(str(conf), {"CLEARML_CONFIG_FILE": str(conf)})


class Api:
    """Logged-in session; `call("tasks.get_all", id=[...])` returns the call's `data`."""

    def __init__(self, wait: bool = False) -> None:
        """Log in with the SDK's settings.

        Args:
            wait: wait for the server as `call` does, instead of failing while it is away.

        Raises:
            NoServer: no server answers, or it refuses the keys; the message names the host and the cause.
        """
        # Not before `Connection.use`: the SDK reads its configuration when it is imported.
        from clearml.backend_api import Session
        from clearml.backend_api.session.session import LoginError
        from clearml.utilities.check_updates import CheckPackageUpdates

        # No setting turns off the SDK's search for a newer version, which sends ours; it searches once.
        CheckPackageUpdates._package_version_checked = True
        self._calling = False
        host = str(Session.get_api_server_host()).rstrip("/")
        if wait:
            _until_answered(host, lambda: (None, _silence(host)))
        elif cause := _silence(host):
            raise NoServer(f"no ClearML server answers at {host}: {cause}")
        try:
            # One try a request: the SDK would repeat it in silence for minutes.
            self._session = Session(http_retries_config={"total": 0})
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

    def answers(self) -> bool:
        """Return True if the server answers now."""
        return not _silence(self.host)

    @contextmanager
    def interrupts(self, *numbers: signal.Signals) -> Iterator[Event]:
        """Yield an event that the signals set. One that arrives during a call ends it with KeyboardInterrupt.

        Elsewhere an exception could be lost inside the SDK.
        """
        interrupted = Event()

        def note(_number: int, _frame: object) -> None:
            interrupted.set()
            if self._calling:
                raise KeyboardInterrupt

        before = [signal.signal(number, note) for number in numbers]
        try:
            yield interrupted
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """Call `service.action` and return its `data`.

        While the server is away, the call is repeated, with a line on stderr for each try.

        Raises:
            ApiError: the server refuses the call; with its message.
            NoServer: it has not answered for OUTAGE_SECONDS, or refuses to renew the login.
        """
        service, action = name.split(".")
        self._calling = True
        try:
            answer = _until_answered(self.host, lambda: self._send(service, action, body))
        finally:
            self._calling = False
        try:
            envelope = answer.json()
        except ValueError as error:
            raise ApiError(f"{name}: {self.host} answered {answer.status_code} and no JSON") from error
        if answer.status_code != 200:
            raise ApiError(f"{name}: {envelope.get('meta', {}).get('result_msg', answer.status_code)}")
        data = envelope["data"]
        return data if isinstance(data, dict) else {}

    def _send(self, service: str, action: str, body: Mapping[str, Any]) -> tuple[Any, str]:
        """Send a call once; return the answer, or why there is none."""
        import requests
        from clearml.backend_api.session.session import LoginError

        slow = Timer(ANSWER_SECONDS, _say, [f"waiting for the answer of the server at {self.host} ..."])
        slow.daemon = True
        slow.start()
        try:
            answer = self._session.send_request(service, action, json=body)
        except requests.RequestException as error:
            return None, _cause(error)
        except LoginError as error:
            # The SDK reports an outage while it renews its token as a refused login.
            cause = _silence(self.host)
            if cause:
                return None, cause
            raise NoServer(f"the ClearML server at {self.host} refuses the login: {error}") from error
        finally:
            slow.cancel()
        if answer.status_code in UNAVAILABLE:
            return None, f"it answers {answer.status_code}"
        return answer, ""


def _until_answered(host: str, attempt: Callable[[], tuple[T, str]]) -> T:
    """Return the result of `attempt` once it comes without a cause why the server at `host` does not answer.

    Raises:
        NoServer: the server has not answered for OUTAGE_SECONDS.
    """
    since, wait = time.monotonic(), FIRST_WAIT
    while True:
        result, cause = attempt()
        if not cause:
            if wait > FIRST_WAIT:
                _say(f"the server at {host} answers again")
            return result
        silence = f"the server at {host} does not answer ({cause})"
        if time.monotonic() - since > OUTAGE_SECONDS:
            raise NoServer(f"{silence}, for {OUTAGE_SECONDS // 60} minutes now: start it, and run again")
        _say(f"{silence}: next try in {wait:.0f} s, Ctrl-C ends the wait")
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _silence(host: str) -> str:
    """Return why no server answers at `host`; empty if one does."""
    import requests

    try:
        status = requests.get(f"{host}/debug.ping", timeout=ANSWER_SECONDS).status_code
    except requests.RequestException as error:
        return _cause(error)
    return f"it answers {status}" if status >= 500 else ""


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a failed request, without its URL."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
