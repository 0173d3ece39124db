"""How far a training is, by the scalars that it reports."""

from collections.abc import Mapping
from typing import Any

SHOWN = {"f2_at_0.2", "lr", "chips_per_second", "seconds"}
"""The scalars of a training that say how far it is."""


def progress(task: Mapping[str, Any]) -> str:
    """How far a training is, by the scalars of its last epoch; empty for anything else."""
    variants = (each for metric in (task.get("last_metrics") or {}).values() for each in metric.values())
    last = {each["metric"]: each["value"] for each in variants}
    told = (((task.get("hyperparams") or {}).get("kwargs") or {}).get("epochs") or {}).get("value")
    # The scalars of an epoch may arrive in two parts.
    if not told or not last.keys() >= SHOWN:
        return ""
    epoch, epochs = int(task.get("last_iteration") or 0), int(told)
    left = clock((epochs - epoch) * last["seconds"])
    return (
        f"epoch {epoch}/{epochs}  F2 {last['f2_at_0.2']:.3f}  lr {last['lr']:.0e}  "
        f"{last['chips_per_second']:.0f} chips/s{f'  {left} left' if left else ''}"
    )


def clock(seconds: float) -> str:
    """Minutes and seconds as `1:07`; empty for none."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}" if seconds else ""
