"""The code that a stage's result depends on, and its digest: the part of a cache key that ClearML cannot see.

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

from steps.clearml.errors import StepError

CANNOT_CHANGE_A_RESULT = {
    "planets.commands": "what messages say to type",
    "planets.errors": "the base of the errors",
    "planets.plots": "figures",
    "planets.system": "cores, disk space, whole files, progress lines",
    "planets.config": "declarations of settings: their values are parameters of the step",
    "steps.clearml.errors": "the base of the errors",
    "steps.clearml.reports": "what ClearML's pages show",
    "steps.clearml.logger": "scalars of a training, uploads of its checkpoint",
    "steps.clearml.code_version": "its effect is the version itself",
}
"""Modules, and packages with all that is in them, that no digest covers, and why.

An edit to one of them runs no step again. So none of them may compute a value that a returned number, an
artifact or a model depends on: such a function belongs in another module.
"""

LIBRARIES = {
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


class OtherCode(StepError):
    """The worker's code or libraries differ from those that the run was started with."""


class Code(NamedTuple):
    """Digests of the modules that a result depends on, and versions of the libraries that these import."""

    parts: dict[str, str]

    @property
    def version(self) -> str:
        """A short digest over all parts: the step parameter `code_version`."""
        text = "\n".join(f"{name} {digest}" for name, digest in sorted(self.parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_of(stage: str) -> Code:
    """Return the code that the result of `stage`, a module of `steps`, depends on.

    Imports inside functions count, so the step's lazy imports are covered.
    """
    return code_of_module(f"steps.{stage}")


def code_of_module(module: str) -> Code:
    """Return the code that results of `module` depend on: the static closure of its imports, and itself."""
    reached = {module, *_graph().find_upstream_modules(module)}
    own = {name: _digest(name) for name in reached if name.split(".")[0] in ("steps", "planets")}
    libraries = {name: _library_version(LIBRARIES[name]) for name in reached if name in LIBRARIES}
    return Code(own | libraries)


@cache
def _graph() -> grimp.ImportGraph:
    """Return the graph of imports without the modules that cannot change a result."""
    graph = grimp.build_graph("steps", "planets", include_external_packages=True, cache_dir=None)
    for module in sorted(graph.modules):
        if any(module == name or module.startswith(f"{name}.") for name in CANNOT_CHANGE_A_RESULT):
            graph.remove_module(module)
    return graph


def _digest(module: str) -> str:
    """Return a digest of a module's source and of its data: the files beside it that have its name."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source file for {module}")
    source = Path(spec.origin)
    files = sorted(file for file in source.parent.glob(f"{source.stem}.*") if file.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _library_version(distribution: str) -> str:
    """Return the public version: `2.9.0+cpu` and `2.9.0+cu130` are one library as far as a result goes."""
    return importlib.metadata.version(distribution).split("+")[0]


def require_code(stage: str, code_version: str) -> None:
    """Refuse to run `stage` with code that differs from the run's.

    Raises:
        OtherCode: this worker computes another `code_version` for the stage.
    """
    own = code_of(stage).version
    if own != code_version:
        raise OtherCode(
            f"this worker has other code for {stage!r} (its version is {own}, the run's is {code_version}): "
            "bring the worker's checkout and environment to the version of the run's controller "
            "(`git pull && make setup`, or the same image) and restart the worker"
        )
