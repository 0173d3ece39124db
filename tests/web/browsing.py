"""What the browser tests share."""

import subprocess
import sys

from embedded import Embedded


def link(server: Embedded) -> str:
    """What ``python -m server link`` prints."""
    command = [sys.executable, "-m", "server", "link", "--data", str(server.data)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
