"""The checks of disks: those of the stack and of temporary files, not only that of the checkout."""

import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.config.folders import ROOT
from pipeline.stack.doctor import disks
from pipeline.stack.stack import Stack


class Usage(NamedTuple):
    free: float


def test_the_disks_of_the_stack_and_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Path("/dev/shm")  # a file system of its own on every Linux
    free = {tmp_path: 4.9e9, memory: 1.9e9, ROOT: 99e9}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(free[Path(folder)]))
    monkeypatch.setattr(tempfile, "tempdir", str(memory))
    stack, temporary = islice(disks(Stack(tmp_path / "new" / ".stack")), 2)
    assert (stack.good, stack.seen) == (False, f"4.9 GB free in {tmp_path}")
    assert stack.remedy == f"free 5 GB on the disk of {tmp_path}"
    assert (temporary.good, temporary.seen) == (False, "1.9 GB free in /dev/shm")
