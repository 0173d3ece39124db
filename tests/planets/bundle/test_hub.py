"""A push to the Hub by the real client, over HTTP, to a stand-in on loopback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from support.hub_standin import TOKEN, Hub, hub_on_loopback

from planets.bundle import BundleError
from planets.bundle.card import CARD
from planets.bundle.hub import HubError, push

# The client's own upload by LFS passes a deprecated argument to its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "someone/planets"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_on_loopback() as hub:
        yield hub


@pytest.fixture
def best(bundle_folder: Path, tmp_path: Path) -> Path:
    """A bundle as it is installed: with its card, and beside it what someone left there."""
    folder = tmp_path / "best"
    shutil.copytree(bundle_folder, folder)
    (folder / CARD).write_text("---\nlicense: apache-2.0\n---\n\n# tiny\n")
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "curve.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (folder / ".env").write_text("KEY=secret")
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def client(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The client of this process, for the stand-in, with a token."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/nonexistent/token")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def whole(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".env", "notes.txt")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_command_pushes_the_bundle_and_nothing_else(hub: Hub, best: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path),
        "HF_TOKEN": TOKEN,
    }
    words = [sys.executable, "-m", "pipeline", "push", REPO, "--bundle", str(best)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == f"pushed  {best} to {hub.address}/{REPO}\n"
    assert hub.files == whole(best)
    assert {f"members/tiny.{kind}" for kind in ("onnx", "safetensors")} < set(hub.files)
    assert len(hub.uploaded) == 3  # two files of the network and a figure, by LFS
    assert hub.verified == set(hub.uploaded)
    (message,) = hub.messages
    assert message.startswith("tiny: test F2 0.")


@pytest.mark.parametrize("public", [False, True])
def test_a_new_repository_is_private_unless_public_is_wanted(client: Hub, best: Path, public: bool) -> None:
    assert push(best, REPO, public) == f"{client.address}/{REPO}"
    (created,) = client.created
    assert (created["organization"], created["name"]) == ("someone", "planets")
    assert created.get("visibility", "private" if created.get("private") else "public") == (
        "public" if public else "private"
    )


def test_files_of_an_earlier_bundle_are_deleted_and_others_kept(client: Hub, best: Path) -> None:
    client.files = {"members/old.onnx": b"old", "LICENSE": b"theirs", ".gitattributes": b""}
    push(best, REPO, False)
    assert client.files == whole(best) | {"LICENSE": b"theirs", ".gitattributes": b""}


@pytest.mark.parametrize("name", ["", "planets", "a/b/c", "some one/planets", "someone/-planets"])
def test_a_malformed_name_is_refused_before_anything_is_sent(client: Hub, best: Path, name: str) -> None:
    with pytest.raises(HubError, match="make push REPO=owner/name"):
        push(best, name, False)
    assert client.asked == []


def test_a_missing_token_is_refused_before_anything_is_sent(
    client: Hub, best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="no Hugging Face token: set HF_TOKEN"):
        push(best, REPO, False)
    assert client.asked == []


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("bundle.json", "no model in .*another folder"),
        ("members/tiny.onnx", "tiny.onnx cannot be read"),
        (CARD, "lacks README.md"),
    ],
)
def test_an_incomplete_bundle_is_refused_before_anything_is_sent(
    client: Hub, best: Path, lost: str, message: str
) -> None:
    (best / lost).unlink()
    with pytest.raises(BundleError, match=message):
        push(best, REPO, False)
    assert client.asked == []


def test_a_refusal_names_the_hub_the_repository_and_the_reason(client: Hub, best: Path) -> None:
    client.refusal = 403
    with pytest.raises(HubError, match=rf"{client.address} did not take the bundle for {REPO}: .*403"):
        push(best, REPO, False)


def test_an_unreachable_hub_is_one_sentence(client: Hub, best: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=f"http://127.0.0.1:9 did not take the bundle for {REPO}: .*refused"):
        push(best, REPO, False)
