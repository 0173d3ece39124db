"""The webhook: where its address comes from, and that what goes wrong with it is said without its secret."""

import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from pipeline.dag import notify
from pipeline.dag.notify import VARIABLE, webhook

SECRET = "hidden-part"


@pytest.fixture
def waited(monkeypatch):
    """The waits between the attempts, which are not waited for."""
    waits = []
    monkeypatch.setattr(notify, "time", type("Clock", (), {"sleep": waits.append}))
    return waits


@pytest.fixture
def answers():
    """A receiver that gives these answers in turn, and keeps the paths it was asked for."""
    codes, asked = [], []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(codes.pop(0))
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield codes, asked, f"http://127.0.0.1:{server.server_port}/{SECRET}"
        server.shutdown()


@pytest.mark.parametrize(
    ("codes", "attempts", "said"),
    [
        ([200], 1, "told 127.0.0.1: hello"),
        ([503, 429, 204], 3, "told 127.0.0.1: hello"),
        ([500, 500, 500], 3, "was not told of it: it answered 500"),
        ([404], 1, "was not told of it: it answered 404"),
        ([302], 1, "was not told of it: it answered 302"),
    ],
)
def test_busy_receivers_are_asked_again_and_refusals_are_said(answers, waited, capsys, codes, attempts, said):
    to_give, asked, url = answers
    to_give += codes
    notify.notify(url, {"text": "hello"})
    printed = capsys.readouterr().out
    assert asked == [f"/{SECRET}"] * attempts
    assert said in printed
    assert SECRET not in printed
    assert waited == list(notify.WAITS[:attempts])


def test_a_receiver_that_is_not_there_or_makes_no_sense_fails_nothing(waited, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/{SECRET}", f"htp://{SECRET}", SECRET):
        notify.notify(url, {"text": "hello"})
    printed = capsys.readouterr().out
    assert printed.count("was not told of it") == 3
    assert "ConnectionError" in printed
    assert SECRET not in printed.replace(f"webhook at {SECRET}", "")


def test_without_an_address_nothing_happens(capsys):
    started = time.monotonic()
    notify.notify("", {"text": "hello"})
    assert time.monotonic() >= started
    assert capsys.readouterr().out == ""


def test_the_environment_comes_before_env_local_and_that_before_the_project(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "project.yaml").write_text("notify: {webhook: in-the-project}")
    assert webhook({}, tmp_path) == "in-the-project"
    (tmp_path / ".env.local").write_text(f"{VARIABLE}=in-env-local")
    assert webhook({}, tmp_path) == "in-env-local"
    assert webhook({VARIABLE: "in-the-environment"}, tmp_path) == "in-the-environment"
