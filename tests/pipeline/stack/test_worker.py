"""Which agents a worker starts, and the unit that starts it at boot; what they do: test_other_machines."""

import configparser
import subprocess
import sys

import pytest

from pipeline.stack import processes, worker
from pipeline.stack.agents import gpu_count
from pipeline.stack.stack import Stack
from pipeline.stack.worker import WorkerError


@pytest.fixture
def machine_with(monkeypatch):
    """Says how many GPUs the machine has; no test machine has any."""
    return lambda count: monkeypatch.setattr(worker, "gpu_count", lambda: count)


@pytest.mark.parametrize(
    ("available", "gpus", "count", "names"),
    [
        (0, "auto", 2, ["cpu0", "cpu1"]),
        (2, "auto", 1, ["gpu0", "gpu1"]),
        (2, "none", 1, ["cpu0"]),
        (3, "all", 1, ["gpu0", "gpu1", "gpu2"]),
        (3, "2,0", 1, ["gpu0", "gpu2"]),
    ],
)
def test_there_is_an_agent_for_each_device(machine_with, available, gpus, count, names):
    machine_with(available)
    chosen = worker.devices(gpus, count)
    assert [device.name for device in chosen] == names
    for device in chosen:
        assert device.options == (("--gpus", device.name[3:]) if "gpu" in device.name else ("--cpu-only",))


@pytest.mark.parametrize(
    ("available", "gpus", "count", "message"),
    [
        (0, "all", 1, "this machine has 0 NVIDIA GPUs.*--gpus none"),
        (2, "0,5", 1, "--gpus 0,5: this machine has 2 NVIDIA GPUs"),
        (2, "first", 1, "give all, none, auto, or numbers such as 0,1"),
        (2, "all", 3, "a GPU has one worker"),
    ],
)
def test_impossible_devices_are_refused(machine_with, available, gpus, count, message):
    machine_with(available)
    with pytest.raises(WorkerError, match=message):
        worker.devices(gpus, count)


def test_the_unit_starts_the_same_worker_from_this_checkout(tmp_path):
    command = [sys.executable, "-m", "pipeline", "worker", "--queue", "gpu", "--gpus", "0,1", "--systemd"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str
    unit.read_string(printed)
    assert unit["Service"]["ExecStart"] == " ".join([*command[:-1], "--count", "1"])
    assert unit["Service"]["KillMode"] == "mixed"
    assert "$" not in printed.replace("QUEUE=...", "")


def test_without_a_server_a_worker_says_how_to_have_one(checkout):
    assert "start it with `make up`" in checkout("worker", "--queue", "gpu", code=1)


@pytest.mark.parametrize(
    ("printed", "code", "count"),
    [
        (
            "GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g.10gb Device 0:\nGPU 1: NVIDIA H100\n",
            0,
            2,
        ),
        ("No devices were found\n", 6, 0),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9, 0),
    ],
)
def test_gpus_are_counted_by_nvidia_smi(tmp_path, monkeypatch, printed, code, count):
    """WSL2 and containers have no /proc/driver/nvidia/gpus."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 2\ncat <<"EOF"\n{printed}EOF\nexit {code}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert gpu_count() == count


def test_a_machine_without_nvidia_smi_has_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_count() == 0


def test_a_worker_ends_what_a_killed_one_left_behind(tmp_path):
    gpu = worker.Worker(Stack(tmp_path), "gpu")
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = processes.start("gpu-cpu0", command, tmp_path / "log", {}, tmp_path / "workers" / "gpu")
    released = []
    with gpu.agents([], released.append):
        assert left.handle() is None
    assert released == [[]]


def test_the_unit_of_a_folder_with_spaces_quotes_and_percent_signs(monkeypatch):
    monkeypatch.setenv("PLANETS_STACK", '/мой проект/a "b" 5 %')
    monkeypatch.setenv("CLEARML_CONFIG_FILE", "/home/me/clearml.conf")
    monkeypatch.setattr(sys, "executable", "/мой проект/.venv/bin/python")
    lines = worker.unit("gpu", "0,1", 1).splitlines()
    assert (
        'Environment="PLANETS_STACK=/мой проект/a \\"b\\" 5 %%" CLEARML_CONFIG_FILE=/home/me/clearml.conf'
        in lines
    )
    command = "-m pipeline worker --queue gpu --gpus 0,1 --count 1"
    assert f'ExecStart="/мой проект/.venv/bin/python" {command}' in lines
