"""The systemd unit by which a machine is a worker from its boot on."""

import getpass
import os
import sys
from pathlib import Path
from string import Template

from pipeline.connection import ROOT
from pipeline.stack.stack import folder

TEMPLATE = ROOT / "deploy" / "systemd" / "planets-worker.service"


def unit(queue: str, gpus: str, count: int) -> str:
    """The unit for this checkout, this Python and this user."""
    command = [sys.executable, "-m", "pipeline", "worker", "--queue", queue, "--gpus", gpus]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        queue=queue,
        user=getpass.getuser(),
        folder=ROOT,
        stack=folder(),
        command=" ".join([*command, "--count", str(count)]),
        configuration=os.environ.get("CLEARML_CONFIG_FILE", str(Path.home() / "clearml.conf")),
    )
