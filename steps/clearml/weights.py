"""Pretrained weights at an address or of a ClearML model: fetched once for all workers of a host."""

import hashlib
from pathlib import Path

from clearml import StorageManager
from filelock import FileLock

from planets.config.training import ModelEntry
from planets.training.weights import require_digest, sha256_of
from steps.clearml.errors import StepError
from steps.clearml.models import model_weights
from steps.clearml.task import host_cache
from steps.clearml.uploads import logged_errors


def with_local_weights(entry: ModelEntry) -> ModelEntry:
    """Return the entry with weights at an address, or of a ClearML model, replaced by a file on this host.

    The file is in ClearML's cache, where it appears whole; workers of a host wait for one download.

    Raises:
        StepError: the weights cannot be downloaded.
        WeightsError: they have another digest than the entry.
    """
    if entry.weights_kind not in ("address", "model"):
        return entry
    key = hashlib.sha256(entry.weights.encode()).hexdigest()[:16]
    with FileLock(host_cache() / f"weights-{key}.lock"):
        file = _download(entry)
        if entry.weights_sha256 and sha256_of(file) != entry.weights_sha256:
            file = _download(entry, again=True)  # what the cache holds may be out of date
    require_digest(file, entry.weights_sha256, entry.weights)
    return entry.model_copy(update={"weights": str(file)})


def _download(entry: ModelEntry, again: bool = False) -> Path:
    if entry.weights_kind == "model":
        return model_weights(entry.weights, again)
    with logged_errors() as errors:
        try:
            file = StorageManager.get_local_copy(entry.weights, extract_archive=False, force_download=again)
        except (OSError, ValueError) as error:
            errors.append(str(error))
            file = None
    if file is None:
        reasons = "; ".join(dict.fromkeys(error.strip() for error in errors))
        raise StepError(f"model {entry.name}: the weights at {entry.weights} cannot be downloaded: {reasons}")
    return Path(file)
