"""What timm knew once is not asked again; what it does not know is told each time."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from pipeline.config.timm_names import require_names
from planets.config import ConfigError

ASK = """
import pathlib, sys
from pipeline.config.timm_names import require_names
require_names(["resnet18"], ["adamw"], pathlib.Path(sys.argv[1]))
print("timm" in sys.modules)
"""


def asks_timm(folder):
    command = [sys.executable, "-c", ASK, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "True"


def test_timm_is_imported_for_new_names_only(tmp_path):
    assert asks_timm(tmp_path / "cache")
    assert not asks_timm(tmp_path / "cache")
    (tmp_path / "cache" / f"timm-{version('timm')}.json").rename(tmp_path / "cache" / "timm-0.0.1.json")
    assert asks_timm(tmp_path / "cache"), "another version of timm may know other names"


@pytest.mark.parametrize(
    ("architecture", "optimizer", "said"),
    [("resnet81", "adamw", "near it are: resnet"), ("resnet18", "adamvv", "near it are: adam")],
)
def test_an_unknown_name_is_never_remembered(tmp_path, architecture, optimizer, said):
    for _ in range(2):
        with pytest.raises(ConfigError, match=said):
            require_names([architecture], [optimizer], tmp_path)
    assert not list(tmp_path.iterdir())
