"""Starts the embedded server and talks to it, for tests of any part of the project."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

PATIENCE = 180.0
T = TypeVar("T")
Sdk = Callable[..., Any]
"""The fixture `sdk`: runs SDK code in its own process, returns what that assigned to ``result``."""


def wait_for(condition: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """The first true value of ``condition``; fails naming ``what`` was waited for."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {patience:.0f} s in vain for {what}")


class Answer:
    """Status, headers and body of any HTTP answer, error or not."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body[:2000]
        return self.json["data"]

    @property
    def error(self) -> tuple[int, int]:
        meta = self.json["meta"]
        return meta["result_code"], meta["result_subcode"]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def fetch(
    url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=600) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class Embedded:
    """A running server on the data folder ``data``."""

    def __init__(self, data: Path, *options: str) -> None:
        self.folder = self.data = data
        self.options = options
        self.log = data.with_name(data.name + ".log")
        self.ports = ("0", "0")
        self.start()

    def start(self) -> None:
        """Start it, the second time on the ports of the first."""
        (self.data / "server.json").unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "server",
            "--data",
            str(self.folder),
            "--api-port",
            self.ports[0],
            "--files-port",
            self.ports[1],
        ]
        with self.log.open("ab") as log:
            command = self.launch([*command, *self.options])
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.data = self.seen()
        wait_for(self._is_up, "the server to listen")
        address = json.loads((self.data / "server.json").read_text())
        keys = json.loads((self.data / "credentials.json").read_text())
        self.api, self.web, self.files = address["api"], address["web"], address["files"]
        self.ports = (self.api.rpartition(":")[2], self.files.rpartition(":")[2])
        self.access_key, self.secret_key = keys["access_key"], keys["secret_key"]
        pair = base64.b64encode(f"{self.access_key}:{self.secret_key}".encode()).decode()
        self.basic = {"Authorization": f"Basic {pair}"}
        self.token = fetch(f"{self.api}/auth.login", headers=self.basic).data["token"]
        self.bearer = {"Authorization": f"Bearer {self.token}"}

    @cached_property
    def session(self) -> dict[str, str]:
        """What a browser sends that opened the page with a one-time link."""
        host = {"Host": self.web.partition("://")[2]}
        token = self.call("auth.link").data["token"]
        answer = fetch(f"{self.api}/login?token={token}", headers=host)
        assert answer.status == 303
        return host | {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}

    def launch(self, command: list[str]) -> list[str]:
        """The command line that runs ``command``."""
        return command

    def seen(self) -> Path:
        """Where the tests see the server's folder."""
        return self.folder

    def call(self, endpoint: str, **arguments: Any) -> Answer:
        """Call the API as the SDK does: GET with a JSON body."""
        body = json.dumps(arguments).encode()
        return fetch(
            f"{self.api}/{endpoint}", "GET", body, {**self.bearer, "Content-Type": "application/json"}
        )

    def events(self, *events: dict[str, Any]) -> Answer:
        body = "\n".join(json.dumps(event) for event in events).encode()
        headers = {**self.bearer, "Content-Type": "application/json-lines"}
        return fetch(f"{self.api}/events.add_batch", "POST", body, headers)

    def new_task(self, **fields: Any) -> str:
        task: str = self.call("tasks.create", **{"name": "task", "type": "training", **fields}).data["id"]
        return task

    def task(self, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = self.call("tasks.get_by_id", task=task_id).data["task"]
        return task

    def environment(self, home: Path) -> dict[str, str]:
        """What makes the SDK and the agents speak to this server, whatever the machine's own settings are.

        The SDK must not look at the repository in a thread: it kills that thread when the program ends early,
        and where the thread held the task's lock, the program never ends.
        """
        home.mkdir(exist_ok=True)
        settings = home / "clearml.conf"
        settings.write_text(
            "sdk { development { report_use_subprocess: false, vcs_repo_detect_async: false } }\n"
            "agent { vcs_cache.enabled: false, pip_download_cache.enabled: false }\n"
        )
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CLEARML_", "TRAINS_"))
        }
        return kept | {
            "HOME": str(home),
            "CLEARML_CONFIG_FILE": str(settings),
            "CLEARML_CACHE_DIR": str(home / "cache"),
            "CLEARML_API_HOST": self.api,
            "CLEARML_WEB_HOST": self.web,
            "CLEARML_FILES_HOST": self.files,
            "CLEARML_API_ACCESS_KEY": self.access_key,
            "CLEARML_API_SECRET_KEY": self.secret_key,
            "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
            "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.5",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(10)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return (self.data / "server.json").exists()


@contextmanager
def running(data: Path, *options: str) -> Iterator[Embedded]:
    server = Embedded(data, *options)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def agent(
    environment: dict[str, str], worker: str, queue: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A real agent daemon in a process group of its own, so that its tasks end with it.

    So is its temporary folder: an agent refuses to start where another of its name has left its mark.
    """
    command = [
        sys.executable,
        "-m",
        "clearml_agent",
        "daemon",
        "--queue",
        queue,
        "--foreground",
        "--cpu-only",
    ]
    with tempfile.TemporaryDirectory(prefix="agent-") as temporary:
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command,
                env=environment | {"CLEARML_WORKER_ID": worker, "TMPDIR": temporary},
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def sdk_runner(server: Embedded, folder: Path) -> Sdk:
    """Runs SDK code in its own process (the session is global); returns what it assigns to ``result``."""

    def run(code: str, timeout: float = 600) -> Any:
        out = folder / "result.json"
        ending = f"\nimport json\nopen({str(out)!r}, 'w').write(json.dumps(result, default=str))\n"
        script = folder / "snippet.py"
        script.write_text("result = None\n" + textwrap.dedent(code) + ending)
        done = subprocess.run(
            [sys.executable, str(script)],
            env=server.environment(folder / "home"),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(out.read_text())

    return run


def refused(*options: str) -> str:
    """Start a server that must not start; returns its one line."""
    command = [sys.executable, "-m", "server", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr
