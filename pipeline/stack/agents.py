"""ClearML agents of this machine: their settings, their private temporary folders, and its GPUs."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.clearml_conf import conf_value
from pipeline.config.folders import HOME, ROOT
from pipeline.errors import PipelineError
from pipeline.stack import processes
from pipeline.stack.processes import Process

NVIDIA_SECONDS = 60
"""Time for nvidia-smi to answer; without persistence mode it first loads the driver, for some seconds."""

SETTINGS = {
    # Steps run in the agent's own environment; installing another would take minutes per step.
    "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
    # Poll queues twice a second; the default of 5 s would delay every step.
    "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.5",
    "PYTHONUNBUFFERED": "1",
}


class StackError(PipelineError):
    """The local stack (embedded server and agents) could not be started or stopped."""


@dataclass(frozen=True)
class Agent:
    """One agent to start.

    Attributes:
        name: unique among the agents of a stack's folder.
        queue: queue that it serves.
        device: its options for the device, such as `--gpus 0`.
        worker_id: id under which the server lists it.
        configuration: its clearml.conf.
        threads: threads of its steps.
    """

    name: str
    queue: str
    device: Sequence[str]
    worker_id: str
    configuration: Path
    threads: int

    def start(self, home: Path, log: Path, owner: Path) -> Process:
        """Start it; `home` is the stack's folder, `owner` the folder that its mark names.

        Agents copy their configuration with its keys into the temporary folder, so each has one of its own
        in the stack, where no cleaner of the system's looks. It runs in the background mode, which writes
        there: in the foreground an idle agent prints four lines a second for as long as it lives.
        """
        temporary = temporary_folder(home, self.name)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True, mode=0o700)
        command = [sys.executable, "-m", "clearml_agent", "daemon", "--queue", self.queue, *self.device]
        environment = SETTINGS | {
            "CLEARML_CONFIG_FILE": str(self.configuration),
            "CLEARML_WORKER_ID": self.worker_id,
            "TMPDIR": str(temporary),
            # Agents number themselves by what they see in the temporary folder: with a folder each, all would
            # unpack their steps in one place.
            "CLEARML_AGENT__AGENT__VENVS_DIR": conf_value(str(temporary / "venvs")),
            # Steps are stored as single files. In a clone of a repository, which the stack lies in, ClearML
            # would store that instead, and each step would clone its remote.
            "GIT_CEILING_DIRECTORIES": str(home),
            HOME: str(ROOT),
            "OMP_NUM_THREADS": str(self.threads),
        }
        return processes.start(self.name, command, log, environment, owner)


def is_plain(path: Path) -> bool:
    """Return if agents can live in a path: clearml-agent refuses one with whitespace, and passes its settings
    to the steps with letters beyond ASCII escaped, which then name another folder."""
    return re.fullmatch(r"[!-~]+", str(path)) is not None


def require_plain(home: Path) -> None:
    """Check that agents can live in the folder of the stack.

    Raises:
        StackError: the path has whitespace or letters beyond ASCII.
    """
    if not is_plain(home):
        raise StackError(
            f"clearml-agent runs in no folder with spaces or letters beyond ASCII, "
            f"and the stack is {str(home)!r}: put it elsewhere, export PLANETS_STACK=/some/folder"
        )


def temporary_folder(home: Path, name: str) -> Path:
    """Return the folder of the temporary files of an agent and its steps; it lives as long as the agent."""
    return home / "tmp" / name


def gpu_count() -> int:
    """Return the number of NVIDIA GPUs of this machine or container, as `nvidia-smi` lists them.

    Raises:
        StackError: nvidia-smi is installed and does not answer, so the number is unknown.
    """
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        listing = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=NVIDIA_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`nvidia-smi -L` did not answer within {NVIDIA_SECONDS} s") from error
    # Without a driver or a device it fails; a machine may have the tool and no GPU.
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
