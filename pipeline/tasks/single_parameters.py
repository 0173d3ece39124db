"""What a plain training is told: settings as in a run, and the parameters that a person edits in a clone."""

from collections.abc import Mapping

from pipeline.config.parameters import DESCRIPTIONS as OF_A_RUN
from pipeline.config.parameters import PER_MODEL, TRAINING, Run
from pipeline.config.parameters import arguments as of_a_run
from planets.config import ConfigError
from planets.config.project import Config

SOURCE = ("dataset_source", "dataset_path")

DESCRIPTIONS = {
    "model": "name (or position) of the model entry to train",
    **dict.fromkeys(TRAINING, f"a number, or {PER_MODEL!r}: as the entry says"),
    **{name: OF_A_RUN[name] for name in SOURCE},
    "dataset_id": "a registered dataset to train on; empty: the one with the source's content",
}
"""The parameters of a plain training: what `Args` holds."""


def arguments(config: Config, model: str = "", dataset_id: str = "", **training: str) -> dict[str, str]:
    """The parameters of a new plain training; without `model` it is the first entry's."""
    shared = of_a_run(config, **training)
    return {
        "model": model or config.models[0].name,
        **{name: shared[name] for name in (*TRAINING, *SOURCE)},
        "dataset_id": dataset_id,
    }


def parse(config_text: str, edited: Mapping[str, str]) -> Run:
    """Bring settings and edited parameters together, as a run of one model.

    Raises:
        ConfigError: a parameter has no sense, or names more than one model.
    """
    training = {name: edited[name] or PER_MODEL for name in TRAINING}
    shared = {name: edited[name] for name in (*SOURCE, "dataset_id")}
    run = Run.parse(config_text, {"models": edited["model"], "refresh": "", **training, **shared})
    if len(run.models) > 1:
        raise ConfigError(
            f"model: one task trains one model, not {edited['model']}; make train.pipeline trains several"
        )
    return run
