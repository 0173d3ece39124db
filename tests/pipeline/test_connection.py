"""Which server is used (environment, .env.local, clearml.conf, embedded), and calls while it is away."""

import http.server
import signal
import subprocess
import sys
import threading

import pytest
import requests
from support.checkouts import ROOT
from support.embedded import running

from pipeline.connection import HOST, KEY, SECRET, WEB, Connection, NoServer, named_server

NAMED = {HOST: "http://127.0.0.1:1", KEY: "key", SECRET: "secret"}


@pytest.fixture
def nowhere(tmp_path):
    return {"CLEARML_CONFIG_FILE": str(tmp_path / "none.conf")}


def test_nothing_named_means_the_embedded_server(tmp_path, nowhere):
    assert named_server(nowhere, tmp_path) is None


def test_the_environment_comes_first(tmp_path, nowhere):
    (tmp_path / ".env.local").write_text(f"{HOST}=http://other\n{KEY}=k\n{SECRET}=s\n")
    found = named_server(nowhere | NAMED | {WEB: "http://web"}, tmp_path)
    assert found is not None
    assert (found.origin, dict(found.variables)) == ("the environment", NAMED | {WEB: "http://web"})


def test_then_env_local(tmp_path, nowhere):
    (tmp_path / ".env.local").write_text("".join(f"{name}={value}\n" for name, value in NAMED.items()))
    found = named_server(nowhere, tmp_path)
    assert found is not None
    assert (found.origin, dict(found.variables)) == (".env.local", NAMED)


def test_then_clearml_conf(tmp_path):
    conf = tmp_path / "clearml.conf"
    conf.write_text('api { api_server: "http://127.0.0.1:1" }')
    found = named_server({"CLEARML_CONFIG_FILE": str(conf)}, tmp_path)
    assert found is not None
    assert found.variables == {"CLEARML_CONFIG_FILE": str(conf)}


def test_half_a_server_is_refused(tmp_path, nowhere):
    with pytest.raises(NoServer, match=f"sets {HOST} but not {KEY}, {SECRET}"):
        named_server(nowhere | {HOST: "http://127.0.0.1:1"}, tmp_path)


CALLS = """
import signal, sys
from pipeline import connection
connection.ANSWER_SECONDS = 0.5
api = connection.Api()
with api.interrupts(signal.SIGINT) as interrupted:
    for line in sys.stdin:
        try:
            print("answer", len(api.call("queues.get_all")["queues"]), flush=True)
        except KeyboardInterrupt:
            print("interrupted", interrupted.is_set(), flush=True)
"""


class Calls:
    """A process that calls the server once for each `call()`; stderr and answers arrive in one order."""

    def __init__(self, server, home):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALLS],
            cwd=ROOT,
            env=server.environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def await_line(self, text):
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(f"the process ended without {text!r}")


@pytest.fixture
def own_server(tmp_path):
    with running(tmp_path / "data") as started:
        yield started


@pytest.fixture
def calls(own_server, tmp_path):
    started = Calls(own_server, tmp_path / "home")
    started.call()
    started.await_line("answer 1")
    yield started
    started.process.kill()
    started.process.communicate()


def test_a_call_reports_that_its_server_is_gone_and_is_repeated_until_it_is_back(own_server, calls):
    own_server.stop(signal.SIGKILL)
    calls.call()
    assert own_server.api in calls.await_line("does not answer (Connection refused): next try in 1 s")
    calls.await_line("next try in 2 s")
    own_server.start()
    calls.await_line("answers again")
    calls.await_line("answer 1")


def test_ctrl_c_ends_a_call_whose_server_is_gone(own_server, calls):
    own_server.stop(signal.SIGKILL)
    calls.call()
    calls.await_line("next try in 4 s")
    calls.process.send_signal(signal.SIGINT)
    calls.await_line("interrupted True")


def test_ctrl_c_ends_a_call_whose_server_hangs(own_server, calls):
    own_server.process.send_signal(signal.SIGSTOP)
    try:
        calls.call()
        calls.await_line("waiting for the answer of the server")
        calls.process.send_signal(signal.SIGINT)
        calls.await_line("interrupted True")
    finally:
        own_server.process.send_signal(signal.SIGCONT)


class Unavailable(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503)

    def log_message(self, *arguments):
        pass


def test_a_5xx_is_no_answer(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unavailable) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        host = f"http://127.0.0.1:{proxy.server_port}"
        environment = {HOST: host, WEB: host, KEY: "key", SECRET: "secret", "HOME": str(tmp_path)}
        try:
            assert f"NoServer: no ClearML server answers at {host}: it answers 503" in _login(environment)
        finally:
            proxy.shutdown()


def _login(environment):
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline.connection import Api; Api()"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def test_no_proxy_is_asked_for_the_embedded_servers_own_address(monkeypatch):
    """`stack.host` may be an address of the network."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("no_proxy", "localhost")
    Connection("", {}, ["192.0.2.7"]).use()
    assert requests.utils.get_environ_proxies("http://192.0.2.7:8008/") == {}
    assert requests.utils.get_environ_proxies("http://192.0.2.8:8008/") != {}
