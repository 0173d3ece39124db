"""Uploads: all files that steps leave with ClearML pass here, and count as stored once they are looked up.

The SDK only logs some failures: a refused chunk of a dataset, a file that it could not pack, a figure. And a
storage that acknowledges a file may keep a part of it, or nothing.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZIP_STORED

import pandas as pd
from clearml import Dataset, Model, OutputModel, StorageManager, Task
from clearml.backend_api import Session
from clearml.backend_api.utils import get_http_session_with_retry

from planets.commands import command
from steps.clearml.errors import StepError
from steps.clearml.task import current_task, storage

STATE = "state"
"""Artifact of a dataset's task: the JSON list of its files and of the chunks that hold them."""

_REMEDY = f"check the disks of the file server and of this worker (`{command('doctor')}`), then run again"
_SECONDS = 30
_TRANSIENT = [429, 502, 503, 504]


class NotStored(StepError):
    """A file was refused, or the storage does not hold what was sent."""


def upload_artifact(name: str, content: Path | str | pd.DataFrame, suffix: str | None = None) -> None:
    """Store a file, a folder (zipped), a text or a table as the artifact `name` of this task.

    Args:
        name: an artifact of that name is replaced.
        content: what to store; a text becomes a file with `suffix`.
        suffix: such as ".csv"; None for ClearML's choice.

    Raises:
        NotStored: it was refused, or is not stored as it was sent.
    """
    task = current_task()
    with _refusals(f"the artifact {name!r}"):
        task.upload_artifact(name, content, extension_name=suffix, wait_on_upload=True)
    artifact = task.artifacts[name]
    _require_stored(task, f"the artifact {name!r}", artifact.url, artifact.size)


def upload_model(model: OutputModel, weights: Path) -> None:
    """Store the weights of a model of this task. Raises NotStored; the model is then removed again."""
    what = f"the model {model.name!r}"
    folder = f"{storage().rstrip('/')}/models/{current_task().id}"
    try:
        with _refusals(what):
            # Not by `update_weights` alone: it registers an address without the quotes that an URL needs.
            url = StorageManager.upload_file(str(weights), f"{folder}/{quote(weights.name)}")
            model.update_weights(register_uri=url)
        _require_stored(current_task(), what, url, weights.stat().st_size)
    except NotStored:
        Model.remove(model.id, delete_weights_file=False, force=True)
        raise


def upload_figure(title: str, series: str, file: Path, task: Task | None = None) -> None:
    """Show a picture among the debug samples of `task`, or of this one. Raises NotStored."""
    task = task or current_task()
    logger = task.get_logger()
    folder = f"{logger.get_default_upload_destination().rstrip('/')}/figures/{task.id}"
    what = f"the figure {title!r}"
    name = quote(f"{title}-{series}{file.suffix}".replace("/", "-"))
    with _refusals(what):
        # Uploaded here and reported by its address: the SDK's own upload only logs a failure.
        url = StorageManager.upload_file(str(file), f"{folder}/{name}")
    _require_stored(task, what, url, file.stat().st_size)
    logger.report_image(title, series, iteration=0, url=url)


class Draft(Dataset):  # type: ignore[misc]
    """A dataset version in the making, whose state is stored once, when all its files are.

    The SDK stores the state, a list of all files, at every change and with every chunk.
    """

    def store_state(self) -> None:
        """Store the state, as the SDK finalizes it."""
        super()._serialize(update_dependency_chunk_lookup=True)

    def keep(self, paths: Collection[str]) -> None:
        """Drop the parent's files that are not among `paths`."""
        entries = self.file_entries_dict
        dropped = entries.keys() - set(paths)
        for path in dropped:
            del entries[path]
        self.update_changed_files(num_files_removed=len(dropped))

    def sort(self) -> None:
        """Put the files in the order of their paths, which spares `finalize` half a million comparisons."""
        entries = self.file_entries_dict
        for path in sorted(entries):
            entries[path] = entries.pop(path)

    def _serialize(self, update_dependency_chunk_lookup: bool = False) -> None:
        """Store nothing, see `store_state`, but count the bytes, which `finalize` reports."""
        self._ds_total_size = sum(file.size for file in self.file_entries)

    def _add_files(self, **arguments: Any) -> tuple[int, int]:
        """Add every file as itself.

        The SDK would take a file that the parent has under another name from there, where no copy finds it.
        """
        if "previous_version_file_entries" in arguments:
            arguments["previous_version_file_entries"] = None
        added: tuple[int, int] = super()._add_files(**arguments)
        return added

    def _fix_dataset_files_parents(self) -> None:
        """Do nothing.

        The SDK would seek a file of this version in an ancestor that had the same one, in a chunk of ours.
        """


def new_dataset(project: str, name: str, tags: Sequence[str], parent: str | None) -> Draft:
    """Create the draft of a new version, which starts with the files of `parent`. Raises NotStored."""
    with _refusals(f"the dataset {name!r}"):
        draft: Draft = Draft.create(
            dataset_name=name,
            dataset_project=project,
            dataset_tags=list(tags),
            parent_datasets=[parent] if parent else None,
        )
        return draft


def upload_dataset(draft: Draft, folder: Path, paths: Collection[str]) -> None:
    """Store all files of a folder in a draft, beside those files of its parent that are among `paths`.

    The chips are JPEGs: they are stored, not compressed.

    Raises:
        NotStored: a file or the state is not stored.
    """
    what = f"the dataset {draft.id}"
    draft.keep(paths)
    draft.add_files(folder, verbose=False)
    draft.sort()
    expected = len(draft.file_entries_dict)
    with logged_errors() as errors, _refusals(what):
        draft.upload(
            show_progress=False, compression=ZIP_STORED, chunk_size=1024, preview=False, output_url=storage()
        )
        draft.store_state()
    # A file that could not be packed is left out of the dataset, with a line in the console.
    lacking = expected - len(draft.file_entries_dict)
    fault = f"{lacking:,} of its {expected:,} files were left out" if lacking else dataset_fault(draft.id)
    if fault:
        raise NotStored(f"{what} was not stored: {'; '.join([fault, *dict.fromkeys(errors)])}; {_REMEDY}")


def close_dataset(dataset_id: str) -> None:
    """Finalize a version if it is a draft; its state is stored already."""
    draft = Draft.get(dataset_id=dataset_id, silence_alias_warnings=True)
    if not draft.is_final():
        draft.finalize()


def dataset_fault(dataset_id: str) -> str:
    """Return why a dataset cannot be read, or "": state and chunks, its ancestors' too, are stored in full.

    No chunk is downloaded. Files that a version only links to are not looked up.

    Raises:
        NotStored: the storage does not answer, so that nothing is known.
    """
    task = Task.get_task(task_id=dataset_id)
    if fault := _artifact_fault(task, STATE):
        return fault
    dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    files = dataset.file_entries_dict.values()
    if not files and not dataset.link_entries_dict:
        return "it holds no file"
    chunks = {(entry.parent_dataset_id, entry.artifact_name or "") for entry in files}
    tasks: Mapping[str, Task] = {
        holder: Task.get_task(task_id=holder) for holder in {holder for holder, _ in chunks}
    }
    parts = sorted(chunks | {(holder, STATE) for holder in tasks})
    faults = (_artifact_fault(tasks[holder], name) for holder, name in parts)
    return next(filter(None, faults), "")


def require_readable(dataset_id: str) -> None:
    """Check that the files of a dataset are stored. Raises NotStored with the way to make them again."""
    if fault := dataset_fault(dataset_id):
        raise NotStored(f"dataset {dataset_id} cannot be read: {fault}; run again with `--refresh ingest`")


def artifact_is_stored(task: Task, name: str) -> bool:
    """Return True if the artifact's file is stored at its full size. Raises NotStored without an answer."""
    return not _artifact_fault(task, name)


def _artifact_fault(task: Task, name: str) -> str:
    artifact = task.artifacts.get(name)
    if artifact is None:
        return f"its part {name!r} was never stored"
    size = _stored_size(task, artifact.url, unstated=artifact.size)
    if size is None:
        return f"its part {name!r} is missing at {artifact.url}"
    if size != artifact.size:
        return f"its part {name!r} has {size:,} of {artifact.size:,} bytes at {artifact.url}"
    return ""


def _require_stored(task: Task, what: str, url: str, size: int) -> None:
    stored = _stored_size(task, url, unstated=size)
    if stored != size:
        held = "nothing is" if stored is None else f"{stored:,} of {size:,} bytes are"
        raise NotStored(f"{what} was not stored: {held} at {url}; {_REMEDY}")


def _stored_size(task: Task, url: str, unstated: int) -> int | None:
    """Return the size in bytes of a stored file, `unstated` if the server does not say, None without a file.

    Raises:
        NotStored: an HTTP server does not answer or refuses the question.
    """
    if not url.startswith(("http://", "https://")):
        size: int | None = StorageManager.get_file_size_bytes(url, silence_errors=True)
        return size
    # The SDK would ask with GET, and accept the size of a compressed answer.
    headers = {"Accept-Encoding": "identity"}
    if url.startswith((str(Session.get_files_server_host()), *(Session.legacy_file_servers or ()))):
        headers = task.session.add_auth_headers(headers)
    try:
        with get_http_session_with_retry(total=3, backoff_factor=0.5, status_forcelist=_TRANSIENT) as session:
            for method in ("HEAD", "GET"):  # some servers know no HEAD
                answer = session.request(method, url, headers=headers, timeout=_SECONDS, stream=True)
                if answer.status_code in (404, 410):
                    return None
                is_whole = "Content-Encoding" not in answer.headers
                if answer.ok and is_whole and "Content-Length" in answer.headers:
                    return int(answer.headers["Content-Length"])
            answer.raise_for_status()
            return unstated
    except OSError as error:
        raise NotStored(f"{url} cannot be checked: {error}; {_REMEDY}") from error


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Turn the SDK's errors of a failed upload into NotStored; those of `requests` are OSErrors."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise NotStored(f"{what} was not stored: {error}; {_REMEDY}") from error


@contextmanager
def logged_errors() -> Iterator[list[str]]:
    """Collect the errors that the SDK logs in the block: reasons that it does not raise."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("clearml")
    log.addHandler(handler)
    try:
        yield messages
    finally:
        log.removeHandler(handler)
