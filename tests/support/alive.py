"""If a process still runs. One that has ended and that nobody has reaped yet does not."""

import psutil


def alive(process: psutil.Process | int) -> bool:
    """Return if the process, or that of the pid, has not ended."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
