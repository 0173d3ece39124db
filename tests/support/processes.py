"""Processes that tests watch or kill. A zombie does not count as alive."""

import psutil
from support.embedded import wait_for


def alive(process: psutil.Process | int) -> bool:
    """Return if the process, or that of the pid, has not ended."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(process: psutil.Process) -> None:
    """End the process by SIGKILL."""
    process.kill()
    wait_for(lambda: not alive(process), "the end of the process")
