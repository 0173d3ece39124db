"""Where chips come from: a local folder, Kaggle, or the synthetic sample; each ends as a folder here."""

import os
from pathlib import Path

from filelock import FileLock

from planets.errors import SourceError


def fetch_sample(cache: Path, chips: int, seed: int, code_version: str) -> Path:
    """Make the synthetic sample in `cache`, unless this code has made it there; return its folder."""
    from planets.sample import make_sample

    folder = cache / f"sample-{chips}-{seed}-{code_version}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder.name}.lock"):
        if not folder.exists():
            make_sample(folder, chips=chips, seed=seed)
    return folder


def fetch_local(path: str) -> Path:
    """The folder `path` itself; it is only read.

    Raises:
        SourceError: there is no such folder on this host.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise SourceError(
            f"dataset.path: no folder {str(folder)!r} on this host; "
            "give the folder that holds train-jpg/ and train_classes.csv (DATASET_PATH=/some/folder)"
        )
    return folder


def fetch_kaggle(cache: Path, dataset: str) -> Path:
    """Download and unpack the Kaggle dataset `owner/name` into `cache`, unless it is there.

    Credentials are those of the `kaggle` package: KAGGLE_USERNAME and KAGGLE_KEY, or ~/.kaggle.

    Raises:
        SourceError: no credentials, or Kaggle refused or could not be reached.
    """
    folder = cache / f"kaggle-{dataset.replace('/', '-')}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder.name}.lock"):
        if not folder.exists():
            _download_kaggle(dataset, folder)
    return folder


def _download_kaggle(dataset: str, folder: Path) -> None:
    from requests.exceptions import RequestException

    _require_kaggle_credentials()
    import kaggle  # authenticates when imported

    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        kaggle.api.dataset_download_files(dataset, path=str(partial), unzip=True, quiet=False)
    except RequestException as error:
        raise SourceError(
            f"Kaggle dataset {dataset!r} could not be downloaded: {error}. Check the network, the name, "
            "and that the account has accepted the data's terms; "
            "or download it by hand and use DATASET_SOURCE=local"
        ) from error
    partial.rename(folder)


def _require_kaggle_credentials() -> None:
    home = Path(os.environ.get("KAGGLE_CONFIG_DIR", "~/.kaggle")).expanduser()
    by_environment = {
        "KAGGLE_USERNAME",
        "KAGGLE_KEY",
    } <= os.environ.keys() or "KAGGLE_API_TOKEN" in os.environ
    if by_environment or (home / "kaggle.json").exists() or (home / "access_token").exists():
        return
    raise SourceError(
        "no Kaggle credentials: set KAGGLE_USERNAME and KAGGLE_KEY in the worker's environment, "
        f"or put the account's kaggle.json into {home}; without an account use DATASET_SOURCE=local"
    )
