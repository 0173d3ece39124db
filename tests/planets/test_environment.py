"""The environment of every process: loopback bypasses proxies, and libraries send nothing about their use."""

import json
import os
import subprocess
import sys

import pytest
import requests

from planets.environment import LOOPBACK, QUIET, prepare

PROXIES = {"HTTP_PROXY": "http://proxy:3128", "ALL_PROXY": "socks5://proxy:1080"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, ",".join(LOOPBACK)),
        ({"NO_PROXY": "intranet"}, f"intranet,{','.join(LOOPBACK)}"),
        ({"no_proxy": "a, b", "NO_PROXY": "b,c"}, f"a,b,c,{','.join(LOOPBACK)}"),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1,::1,.localhost"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_the_users_exceptions_stay(before, after):
    environment = dict(before)
    prepare(environment)
    once = dict(environment)
    prepare(environment)
    assert environment == once
    assert environment["NO_PROXY"] == environment["no_proxy"] == after


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "planets.localhost"])
def test_loopback_is_reached_without_a_proxy(monkeypatch, host):
    environment = dict(PROXIES)
    prepare(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert requests.utils.get_environ_proxies(f"http://{host}:8008/") == {}
    assert requests.utils.get_environ_proxies("http://example.org/")["http"] == PROXIES["HTTP_PROXY"]


@pytest.mark.parametrize("package", ["planets", "steps", "pipeline"])
def test_the_import_of_a_package_is_enough(package):
    code = f"import {package}, os, json; print(json.dumps(dict(os.environ)))"
    clean = {
        name: value for name, value in os.environ.items() if name not in {*QUIET, "NO_PROXY", "no_proxy"}
    }
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout
    environment = json.loads(printed)
    assert QUIET.items() <= environment.items()
    assert set(LOOPBACK) <= set(environment["NO_PROXY"].split(","))


@pytest.mark.parametrize(
    "code",
    [
        "import requests; requests.get('http://example.org/')",
        "from huggingface_hub.utils import get_session; get_session().get('http://example.org/')",
    ],
)
def test_other_addresses_are_asked_through_a_socks_proxy(code):
    """What Kaggle and the pretrained weights use; the proxy's port is closed."""
    environment = os.environ | {"ALL_PROXY": "socks5h://127.0.0.1:9"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Connection refused" in done.stderr
    assert "Missing dependencies" not in done.stderr
