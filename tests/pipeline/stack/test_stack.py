"""`up` and `down` after a crash, with sleeping processes in place of agents; real ones: test_crashes."""

import json
import socket
import subprocess
import sys

import psutil
import pytest
from support.checkouts import ROOT
from support.processes import alive, kill

from pipeline.config.settings import load_config
from pipeline.stack import processes
from pipeline.stack.agents import StackError
from pipeline.stack.stack import SERVER, Stack, locked

SLEEPER = "import time; time.sleep(600)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print(child.pid, flush=True)
child.wait()
"""
UP = """
import sys
from pathlib import Path
from pipeline.config.settings import load_config
from pipeline.stack.stack import Stack
pairs = [pair.split("=") for pair in sys.argv[2:]]
pairs += [("stack.api_port", "0"), ("stack.files_port", "0"), ("stack.workers.services", "0")]
Stack(Path(sys.argv[1])).up(load_config("sample", pairs))
"""


@pytest.fixture
def stack(tmp_path):
    started = Stack(tmp_path / "stack")
    yield started
    started.down()


def up(stack, *pairs):
    command = [sys.executable, "-c", UP, str(stack.home), *pairs]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    return {process.name: process for process in stack.running()}


def pretend_agent(stack, name, code=SLEEPER):
    """Start a process as an agent of the stack, and record it."""
    command = [sys.executable, "-c", code]
    agent = processes.start(name, command, stack.home / "logs" / f"{name}.log", {}, stack.home)
    processes.remember([*stack.running(), agent], stack.home / "processes.json")
    return agent


def addresses(stack):
    announced = json.loads((stack.home / SERVER / "server.json").read_text())
    return announced["api"], announced["files"]


def test_up_restarts_a_crashed_server_at_its_address_and_leaves_living_agents_alone(stack):
    before = up(stack, "stack.workers.cpu=0")[SERVER]
    agent = pretend_agent(stack, "cpu-0")
    place = addresses(stack)
    kill(before.handle())
    after = up(stack, "stack.workers.cpu=1")
    assert after == {SERVER: after[SERVER], "cpu-0": agent}
    assert after[SERVER].pid != before.pid
    assert addresses(stack) == place


def test_down_ends_a_step_whose_agent_and_server_were_killed(stack):
    up(stack, "stack.workers.cpu=0")
    agent = pretend_agent(stack, "cpu-0", PARENT)
    while not (printed := agent.last_lines()):
        assert agent.handle()
    step = psutil.Process(int(printed))
    kill(agent.handle())
    for process in stack.running():
        kill(process.handle())
    assert alive(step)
    assert stack.down() == ["cpu-0"]
    assert not alive(step)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "stack"
    with pytest.raises(StackError, match=f"cannot write or lock {home}/lock: .*PLANETS_STACK=/some/folder"):
        Stack(home).up(load_config("sample"))


@pytest.mark.parametrize("name", ["my project", "проект"])
def test_a_folder_that_agents_cannot_use_is_refused_before_anything_starts(tmp_path, name):
    home = tmp_path / name / "stack"
    with pytest.raises(
        StackError, match=rf"no folder with spaces or letters.*{name}.*PLANETS_STACK=/some/folder"
    ):
        Stack(home).up(load_config("sample"))
    assert not home.exists()


def test_a_taken_port_is_named_with_the_options_of_make(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = load_config("sample", [("stack.api_port", str(port))])
        with pytest.raises(StackError, match=rf"port {port}: .*\n.*ARGS=\"--set stack.api_port=0"):
            Stack(tmp_path / "stack").up(config)


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(37, "No locks available")])
def test_a_drive_without_locks_is_named(tmp_path, monkeypatch, error):
    def refuse(*_arguments):
        raise error

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StackError, match="cannot write or lock"), locked(tmp_path / "lock"):
        pass
