"""Folders of an installation: a checkout is its own; an installed package works in the current folder."""

import os
import sysconfig
from pathlib import Path

from planets.commands import IN_CHECKOUT, PACKAGES

SHARED = PACKAGES if IN_CHECKOUT else Path(sysconfig.get_path("data")) / "share" / "planets"
"""Folder of the files that come with the code: the settings, and the unit of a worker."""

HOME = "PLANETS_HOME"
"""Variable that names the folder below; agents get it with the folder of the command that started them."""

ROOT = Path(os.environ.get(HOME) or (PACKAGES if IN_CHECKOUT else Path.cwd())).resolve()
"""Folder of `.env.local`, `output` and the stack: by default the checkout or where the package was called."""

CONFIGS = ROOT / "configs" if (ROOT / "configs" / "project.yaml").is_file() else SHARED / "configs"
"""Folder of the YAML files: that of the folder above, or the defaults that come with the code."""
