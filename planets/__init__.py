"""The domain library: satellite chips, their labels, and the model that reads them; knows no ClearML."""

from typing import TYPE_CHECKING, Any

from planets.environment import prepare

if TYPE_CHECKING:
    from planets.serving.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]

prepare()  # before any runtime is imported


def __getattr__(name: str) -> Any:
    # Imported on demand, so that a module of the library does not cost the import of a runtime.
    if name not in __all__:
        raise AttributeError(f"module 'planets' has no attribute {name!r}")
    from planets.serving import predictor

    return getattr(predictor, name)
