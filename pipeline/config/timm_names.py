"""Which names timm knows: asked of timm once for each of its versions, since to import it takes seconds."""

import json
import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

APP = "planets-pipeline"


def require_names(architectures: Iterable[str], optimizers: Iterable[str], cache: Path | None = None) -> None:
    """Check that timm knows the names; those that it knew before are remembered in the user's cache folder.

    Raises:
        ConfigError: it does not know one of them; the message names what is near.
    """
    folder = cache or user_cache_path(APP)
    file = folder / f"timm-{version('timm')}.json"
    models, rules = set(architectures), set(optimizers)
    asked = {*(f"architecture {name}" for name in models), *(f"optimizer {name}" for name in rules)}
    known = set(json.loads(file.read_text())) if file.exists() else set()
    if asked <= known:
        return
    from planets.training.model import require_architecture
    from planets.training.optim import require_optimizer

    for name in sorted(models):
        require_architecture(name)
    for name in sorted(rules):
        require_optimizer(name)
    folder.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(f".{os.getpid()}")
    whole.write_text(json.dumps(sorted(known | asked)))
    whole.replace(file)  # another run may read it at this moment
