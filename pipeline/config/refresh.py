"""Which steps the parameter `refresh` names: `split` is that step, `split+` it and all that comes after."""

from collections.abc import Sequence

from planets.config import ConfigError


def steps_to_refresh(text: str, steps: Sequence[str]) -> frozenset[str]:
    """Those of a run's `steps`, which are in the order of the DAG, that `text` names.

    Raises:
        ConfigError: a name is none of them.
    """
    names = {word.removesuffix("+") for word in words(text)}
    unknown = names - set(steps)
    if unknown:
        raise ConfigError(f"refresh: no step {', '.join(sorted(unknown))}; the steps are: {', '.join(steps)}")
    after = [_after(word.removesuffix("+"), steps) for word in words(text) if word.endswith("+")]
    return frozenset(names.union(*after))


def _after(step: str, steps: Sequence[str]) -> list[str]:
    """All steps after `step`; after a step of one model none of another, but what is made of all models."""
    _, _, model = step.partition("_")
    after = steps[steps.index(step) + 1 :]
    return [name for name in after if not model or name.partition("_")[2] in ("", model)]


def words(text: str) -> list[str]:
    """The words of a list separated by commas, without the blanks around them."""
    return [word.strip() for word in text.split(",") if word.strip()]
