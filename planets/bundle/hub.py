"""A bundle on the Hugging Face Hub, as a model repository whose README is the model card."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from planets.bundle import BundleError
from planets.bundle.card import CARD
from planets.bundle.manifest import FIGURES, INFO, MEMBERS, METRICS, BundleInfo, read_member, require_bundle
from planets.commands import command
from planets.errors import PlanetsError

FILES = (INFO, METRICS, CARD, f"{MEMBERS}/*", f"{FIGURES}/*")
"""Patterns of the files that make up a bundle; whatever else lies in the folder stays here."""

_FAILURES: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, RuntimeError, ValueError)
"""Errors of the client: those of its HTTP library, of uploads, and of malformed answers."""


class HubError(PlanetsError):
    """The bundle cannot be pushed: no token, a malformed name, or a refusal by the Hub."""


def push(folder: Path, repo: str, public: bool) -> str:
    """Upload a bundle to the repository `owner/name` and return the address of its page.

    Name, bundle and token are checked before the first request. The repository is created if it does not
    exist; files of an earlier bundle that this one lacks are deleted from it.

    Args:
        folder: the bundle's folder, with its model card.
        repo: the repository, as `owner/name`.
        public: visibility of a new repository; an existing one keeps its own.

    Raises:
        BundleError: the bundle is incomplete or damaged.
        HubError: the name is malformed, there is no token, or the Hub is unreachable or refuses.
    """
    if repo.count("/") != 1:
        raise HubError(_misnamed(repo, "the form is owner/name"))
    info = _require_whole(folder)
    token = get_token()
    if not token:
        raise HubError(
            "no Hugging Face token: set HF_TOKEN, in the environment or in .env.local, to a token with write "
            "access from https://huggingface.co/settings/tokens, or log in with `.venv/bin/hf auth login`"
        )
    hub = HfApi(token=token)
    try:
        page = hub.create_repo(repo, private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=list(FILES),
            delete_patterns=list(FILES),
            commit_message=f"{info.name}: test F2 {info.scores['test_f2']:.4f}",
        )
    except HFValidationError as error:  # from `create_repo`, before its request
        raise HubError(_misnamed(repo, str(error))) from error
    except _FAILURES as error:
        # The client hides the reason of a failed upload in the cause.
        reason = " ".join(str(error.__cause__ or error).split())
        raise HubError(f"{hub.endpoint} did not take the bundle for {repo}: {reason}") from error
    return str(page)


def _misnamed(repo: str, reason: str) -> str:
    to_write = command("push", "owner/name")
    return f"{repo!r} is not the name of a repository ({reason.rstrip('.')}): write {to_write}"


def _require_whole(folder: Path) -> BundleInfo:
    """Read the manifest, and check the digests of all networks and that the model card is there."""
    require_bundle(folder)
    info = BundleInfo.read(folder)
    for member in info.members:
        read_member(folder, member.file, member.weights_sha256)
        read_member(folder, member.onnx_file, member.onnx_sha256)
    if absent := [name for name in (METRICS, CARD) if not (folder / name).exists()]:
        raise BundleError(f"{folder} lacks {' and '.join(absent)}; push a bundle that a run has installed")
    return info
