"""Processes of the stack: found again while they live, and ended with all that they started."""

import os
import socket
import sys

import psutil
import pytest
from support.processes import alive, kill

from pipeline.config.settings import load_config
from pipeline.stack import processes
from pipeline.stack.stack import Stack, StackError

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def parent(tmp_path):
    process = processes.start("parent", [sys.executable, "-c", PARENT], tmp_path / "log", {}, tmp_path)
    yield process
    processes.end(member for members in processes.marked(tmp_path).values() for member in members)


def printed(process):
    """The first line that it prints, once it is there."""
    while not process.last_lines():
        assert process.handle()
    return process.last_lines()


def test_ending_a_family_ends_its_children(parent):
    child = psutil.Process(int(printed(parent)))
    processes.end(processes.family(parent))
    assert parent.handle() is None
    assert not alive(child)


@pytest.mark.timeout(processes.GRACE_SECONDS)
def test_a_process_that_nobody_reaps_has_ended(parent):
    """As in a container without an init."""
    child = psutil.Process(int(printed(parent)))
    processes.end([child])
    assert child.status() == psutil.STATUS_ZOMBIE
    assert parent.handle()


def test_the_child_of_a_killed_process_is_found_by_its_mark(parent, tmp_path):
    child = psutil.Process(int(printed(parent)))
    kill(parent.handle())
    assert processes.family(parent) == []
    assert processes.marked(tmp_path) == {"parent": [child]}
    assert processes.marked(tmp_path.parent) == {}
    processes.end(processes.marked(tmp_path)["parent"], grace=0)
    assert not alive(child)


def test_what_is_remembered_is_found_again_while_it_lives(parent, tmp_path):
    file = tmp_path / "processes.json"
    processes.remember([parent], file)
    assert processes.remembered(file) == [parent]
    processes.end(processes.family(parent))
    assert processes.remembered(file) == []
    assert processes.known(file) == [parent]


def test_a_pid_that_belongs_to_another_process_is_left_alone(parent):
    stale = processes.Process("stale", parent.pid, parent.created - 1000, parent.log)
    assert stale.handle() is None
    assert processes.family(stale) == []


def test_only_the_owner_reads_what_a_process_writes(tmp_path):
    before = os.umask(0o022)
    try:
        write = f"open({str(tmp_path / 'written')!r}, 'w').write('key')"
        log = tmp_path / "logs" / "log"
        process = processes.start("writer", [sys.executable, "-c", write], log, {}, tmp_path)
        psutil.wait_procs(processes.family(process), timeout=60)
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (log.parent, log, tmp_path / "written")]
    assert modes == [0o700, 0o600, 0o600]


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = load_config("sample", [("stack.api_port", str(port)), ("stack.files_port", "0")])
        with pytest.raises(StackError, match=rf"did not start:\n.*{port}"):
            Stack(tmp_path).up(config)
    assert Stack(tmp_path).running() == []
