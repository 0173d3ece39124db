"""How a person calls a command: by make in a checkout, by `planets` where the package is installed."""

from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[1]
"""Folder of this project's packages: that of the checkout, or the environment's `site-packages`."""

IN_CHECKOUT = (PACKAGES / "configs").is_dir()

_WORDS = {
    "run": ("make train.pipeline", "planets run"),
    "resume": ("make resume RUN={}", "planets resume {}"),
    "worker": ("make worker QUEUE={}", "planets worker --queue {}"),
    "predict": ("make predict IMAGES={}", "planets predict {}"),
    "submission": ("make submission DATASET_PATH={}", "planets submission --dataset-path {}"),
    "push": ("make push REPO={}", "planets push {}"),
}
"""Commands with another name or an argument; all others are `make NAME` and `planets NAME`."""


def command(name: str, argument: str = "") -> str:
    """Return what to type for a command of the project, with its argument."""
    by_make, installed = _WORDS.get(name, (f"make {name}", f"planets {name}"))
    return (by_make if IN_CHECKOUT else installed).format(argument)
