"""The webhook: where its address comes from, and that failures are reported without its secret."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import stamina

from pipeline.dag.webhook import ATTEMPTS, VARIABLE, notify, webhook

SECRET = "hidden-part"


@pytest.fixture
def retries():
    """The scheduled retries, which are not waited for."""
    scheduled = []
    stamina.instrumentation.set_on_retry_hooks([scheduled.append])
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield scheduled
    stamina.instrumentation.set_on_retry_hooks(None)


@pytest.fixture
def answers():
    """A receiver that gives these answers in turn, and records the requested paths."""
    codes, paths = [], []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            paths.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(codes.pop(0))
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield codes, paths, f"http://127.0.0.1:{server.server_port}/{SECRET}"
        server.shutdown()


@pytest.mark.parametrize(
    ("codes", "attempts", "message"),
    [
        ([200], 1, "notified 127.0.0.1: hello"),
        ([503, 429, 204], 3, "notified 127.0.0.1: hello"),
        ([500, 500, 500], 3, "was not notified: it answered 500"),
        ([404], 1, "was not notified: it answered 404"),
        ([302], 1, "was not notified: it answered 302"),
    ],
)
def test_busy_receivers_are_retried_and_refusals_are_printed(
    answers, retries, capsys, caplog, codes, attempts, message
):
    to_give, paths, url = answers
    to_give += codes
    notify(url, {"text": "hello"})
    printed = capsys.readouterr().out
    assert paths == [f"/{SECRET}"] * attempts
    assert message in printed
    assert SECRET not in printed + caplog.text + str(retries)
    assert len(retries) == attempts - 1


def test_an_unreachable_or_invalid_receiver_fails_nothing(retries, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/{SECRET}", f"htp://{SECRET}", SECRET):
        notify(url, {"text": "hello"})
    printed = capsys.readouterr().out
    assert printed.count("was not notified") == 3
    assert "ConnectionError" in printed
    assert SECRET not in printed.replace(f"webhook at {SECRET}", "")


def test_without_an_address_nothing_happens(capsys):
    notify("", {"text": "hello"})
    assert capsys.readouterr().out == ""


def test_the_environment_comes_before_env_local_and_that_before_the_project(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "project.yaml").write_text("notify: {webhook: in-the-project}")
    assert webhook({}, tmp_path, tmp_path / "configs") == "in-the-project"
    (tmp_path / ".env.local").write_text(f"{VARIABLE}=in-env-local")
    assert webhook({}, tmp_path, tmp_path / "configs") == "in-env-local"
    assert webhook({VARIABLE: "in-the-environment"}, tmp_path, tmp_path / "configs") == "in-the-environment"
