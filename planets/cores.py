"""How many processors this process may use."""

import os


def usable_cores() -> int:
    """Return the number of cores: those that the process is bound to, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
