"""Which code a stage can reach, and its digest: the part of a cache key that ClearML cannot see.

ClearML's own key holds a step's script and parameters, not the library that the script imports. So every
step takes a `code_version` as a parameter. The controller computes it where it runs; the step computes it
again and refuses to work with other code, so that an old worker cannot poison the cache.
"""

import hashlib
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import grimp

from steps.clearml.errors import OtherCode

STAGES = ("ingest", "register", "split", "train", "evaluate", "ensemble", "select")
"""The stages in the order of the DAG; each is a module of this package."""

LIBRARIES = {
    "iterstrat": "iterative-stratification",
    "lightning": "lightning",
    "numba": "numba",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "PIL": "pillow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "timm": "timm",
    "torch": "torch",
}
"""Import name and distribution of the libraries whose version can change a result."""


class Code(NamedTuple):
    """What a stage runs: the digest of each module it can reach, the version of each library it imports."""

    parts: dict[str, str]

    @property
    def version(self) -> str:
        """A short digest over all parts: the step parameter `code_version`."""
        text = "\n".join(f"{name} {digest}" for name, digest in sorted(self.parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("steps", "planets", include_external_packages=True, cache_dir=None)


def _digest(module: str) -> str:
    """A digest of a module's source and of its data: the files beside it that have its name."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source file for {module}")
    source = Path(spec.origin)
    files = sorted(file for file in source.parent.glob(f"{source.stem}.*") if file.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _library_version(distribution: str) -> str:
    """The public version: `2.9.0+cpu` and `2.9.0+cu130` are the same library to a result's key."""
    return importlib.metadata.version(distribution).split("+")[0]


def code_of(stage: str) -> Code:
    """The code that `stage` can reach: the static closure of its imports within `steps` and `planets`.

    Imports inside functions count, so a step's lazy imports are in it.
    """
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r}; the stages are: {', '.join(STAGES)}")
    return closure(f"steps.{stage}")


def closure(root: str) -> Code:
    """The code that the module `root` of `steps` or `planets` can reach, itself included."""
    reached = {root, *_graph().find_upstream_modules(root)}
    own = {name: _digest(name) for name in reached if name.split(".")[0] in ("steps", "planets")}
    libraries = {name: _library_version(LIBRARIES[name]) for name in reached if name in LIBRARIES}
    return Code(own | libraries)


def require_code(stage: str, code_version: str) -> None:
    """Refuse to run `stage` with other code than the run was started with.

    Raises:
        OtherCode: this worker's `code_version` of the stage is another one.
    """
    here = code_of(stage).version
    if here != code_version:
        raise OtherCode(
            f"this worker has other code for {stage!r} (its version is {here}, the run's is {code_version}): "
            "bring the worker's checkout and environment to the version of the run's controller "
            "(`git pull && make setup`, or the same image) and restart the worker"
        )
