"""Kaggle by its own client, against a stand-in on loopback that cuts, lies and refuses."""

import json
import os
import subprocess
import sys

import pytest
from support.kaggle_standin import HOSTS, KEY, SIGNATURE, TOKEN, USER, kaggle_on_loopback, zipped

from planets.chips import ArchiveError
from planets.sources import BadDownload, SourceError
from planets.sources.kaggle import (
    KaggleSource,
    NoNetwork,
    TermsNotAccepted,
    TooManyRequests,
    UnknownDataset,
)
from planets.sources.kaggle_credentials import CredentialsRefused, NoCredentials
from planets.system import DiskFull

TABLE = b"image_name,tags\ntrain_0,clear primary\ntrain_1,haze primary\n"
MEMBERS = {
    "planet/planet/sample_submission.csv": b"image_name,tags\ntest_0,primary\n",
    "planet/planet/test-jpg/test_0.jpg": b"a test chip" * 1000,
    "planet/planet/train-jpg/train_0.jpg": b"a chip" * 20_000,
    "planet/planet/train-jpg/train_1.jpg": b"another" * 20_000,
    "planet/planet/train_classes.csv": TABLE,
    "planet/planet/train-jpg/train_2.JPEG": b"of another suffix" * 100,
    "planet/planet/train-tif-v2.torrent": b"not for us",
    "__MACOSX/planet/train-jpg/._train_0.jpg": b"not for us",
    "test-jpg-additional/test-jpg-additional/file_0.jpg": b"one more" * 100,
    "test-jpg-additional/test-jpg-additional/.DS_Store": b"not for us",
}
NEEDED = {name: data for name, data in MEMBERS.items() if data != b"not for us"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with kaggle_on_loopback(tmp_path_factory.mktemp("kaggle")) as (kaggle, environment):
        yield kaggle, environment


@pytest.fixture
def kaggle(running, monkeypatch):
    kaggle, environment = running
    kaggle.__init__(content=zipped(MEMBERS), answering=kaggle.answering)
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    for name, value in (environment | {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}).items():
        monkeypatch.setenv(name, value)
    return kaggle


class Fetched:
    """A source whose lines are kept."""

    def __init__(self, cache, dataset="owner/chips"):
        self.lines = []
        self.source = KaggleSource(cache, dataset, self.lines.append, first_wait=0.01)

    def __call__(self):
        return self.source.fetch()

    @property
    def said(self):
        return "\n".join(self.lines)


@pytest.fixture
def fetch(kaggle, tmp_path):
    return Fetched(tmp_path / "cache")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_the_project_needs_is_unpacked_and_the_archive_is_gone(fetch, tmp_path):
    folder = fetch()
    assert files(folder) == NEEDED
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {folder.name, "kaggle-owner-chips.lock"}
    assert "size, md5, crc32c verified" in fetch.said
    assert fetch.source.stamp() == "kaggle owner/chips v1"
    assert len(fetch.lines) < 10


def test_a_finished_download_is_not_done_again(kaggle, fetch, tmp_path):
    fetch()
    before = kaggle.downloads()
    assert files(Fetched(tmp_path / "cache")()) == NEEDED
    assert kaggle.downloads() == before


def test_a_new_version_is_another_folder(kaggle, fetch, tmp_path):
    first = fetch()
    kaggle.version, kaggle.content = 2, zipped(MEMBERS | {"planet/planet/train-jpg/train_2.jpg": b"new"})
    second = Fetched(tmp_path / "cache")
    assert second() != first
    assert second.source.stamp() == "kaggle owner/chips v2"


CUT = [70_000, *[0] * 20]
"""The first attempt brings a chunk of 64 KiB, all others nothing."""


def fail(fetch):
    with pytest.raises(NoNetwork):
        fetch()


def test_a_download_that_is_cut_is_resumed(kaggle, fetch):
    kaggle.cuts = [70_000, None, 100_000, None, 70_000]
    assert files(fetch()) == NEEDED
    assert kaggle.ranges_asked() == [f"bytes={chunks * 65536}-" for chunks in (1, 2, 3)]


def test_the_next_process_resumes_it(kaggle, fetch, tmp_path):
    kaggle.cuts = list(CUT)
    fail(fetch)
    kaggle.cuts = []
    assert files(Fetched(tmp_path / "cache")()) == NEEDED
    assert kaggle.ranges_asked()[-1] == "bytes=65536-"


def test_a_partial_download_of_another_file_is_discarded(kaggle, fetch, tmp_path):
    kaggle.cuts = list(CUT)
    fail(fetch)
    kaggle.cuts, kaggle.etag, before = [], '"two"', len(kaggle.ranges_asked())
    assert files(Fetched(tmp_path / "cache")()) == NEEDED
    assert len(kaggle.ranges_asked()) == before


def test_a_server_without_ranges_sends_it_all_again(kaggle, fetch):
    kaggle.cuts, kaggle.ranges = [70_000], False
    assert files(fetch()) == NEEDED
    assert kaggle.ranges_asked() == []


def test_bytes_from_another_place_do_not_pass_the_checksums(kaggle, fetch, tmp_path):
    kaggle.cuts, kaggle.wrong_range = [70_000], True
    with pytest.raises(BadDownload, match="damaged"):
        fetch()
    assert not list((tmp_path / "cache").glob("*.zip"))


def test_a_complete_download_is_not_repeated_when_unpacking_failed(kaggle, fetch, tmp_path, monkeypatch):
    def full(*_arguments):
        raise DiskFull("full")

    with monkeypatch.context() as patched:
        patched.setattr("planets.sources.kaggle.unpack", full)
        with pytest.raises(DiskFull):
            fetch()
    kaggle.cuts = [0] * 20
    assert files(Fetched(tmp_path / "cache")()) == NEEDED


def test_fewer_bytes_than_announced_are_an_error(kaggle, fetch):
    kaggle.promised, kaggle.hashes = len(kaggle.content) + 1000, ""
    fail(fetch)


def test_more_bytes_than_announced_are_an_error(kaggle, fetch, tmp_path):
    kaggle.promised, kaggle.hashes = len(kaggle.content) - 1000, ""
    with pytest.raises(BadDownload, match=r"is broken .* run again"):
        fetch()
    assert not list((tmp_path / "cache").glob("*.zip"))


@pytest.mark.parametrize(("name", "value"), [("md5", "AAAAAAAAAAAAAAAAAAAAAA=="), ("crc32c", "AAAAAA==")])
def test_another_checksum_is_an_error_and_nothing_is_kept(kaggle, fetch, tmp_path, name, value):
    kaggle.hashes = f"{name}={value}"
    with pytest.raises(BadDownload, match=f"arrived damaged: its {name} is"):
        fetch()
    assert not list((tmp_path / "cache").glob("*.zip"))


def test_an_archive_without_chips_says_what_was_looked_for(kaggle, fetch, tmp_path):
    kaggle.content = zipped({"somewhere/else.csv": b"1,2"})
    with pytest.raises(ArchiveError, match=r"no chips found .*train-jpg"):
        fetch()
    assert not list((tmp_path / "cache").glob("*.zip"))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_too_little_space_is_an_error_before_the_download(kaggle, fetch, tmp_path):
    kaggle.promised = 10**16
    with pytest.raises(DiskFull, match=r"chips needs 20,000,000,\d+ MB .* are free; free some space"):
        fetch()
    assert not list((tmp_path / "cache").glob("*.zip"))


def test_a_disk_that_becomes_full_is_an_error_at_once(kaggle, fetch, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kaggle-owner-chips-v1.zip").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="became full"):
        fetch()
    assert kaggle.downloads() == 1


@pytest.mark.parametrize(
    ("status", "error", "remedy"),
    [
        (401, CredentialsRefused, "create a new token at https://www.kaggle.com/settings"),
        (
            403,
            TermsNotAccepted,
            "open https://www.kaggle.com/datasets/owner/chips with this account and accept",
        ),
        (404, UnknownDataset, "set dataset.kaggle to the owner/name"),
        (400, SourceError, "run again later"),
    ],
)
def test_a_refusal_says_what_to_do(kaggle, fetch, status, error, remedy):
    kaggle.answers = [(status, {})]
    with pytest.raises(error) as raised:
        fetch()
    assert type(raised.value) is error
    assert f"Kaggle answers {status} for 'owner/chips' (Kaggle says {status})" in str(raised.value)
    assert remedy in str(raised.value)
    assert len(kaggle.asked) == 1


def test_wrong_keys_are_refused(kaggle, fetch, monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    with pytest.raises(CredentialsRefused, match="not accepted"):
        fetch()


def test_a_token_is_enough(kaggle, fetch, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert files(fetch()) == NEEDED


def test_white_space_around_a_token_is_stripped(kaggle, fetch, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.setenv("KAGGLE_API_TOKEN", f" {TOKEN}\n")
    assert files(fetch()) == NEEDED


@pytest.mark.parametrize("token", ["KGAT_secret\nsecond line", "KGAT_secret\u00e9"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_printed(kaggle, fetch, monkeypatch, capfd, token):
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with pytest.raises(CredentialsRefused, match="KAGGLE_API_TOKEN holds illegal characters") as raised:
        fetch()
    assert "secret" not in f"{raised.value} {fetch.said} {capfd.readouterr()}"
    assert kaggle.asked == []


def test_an_expired_token_is_refused(kaggle, fetch, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "expired")
    with pytest.raises(CredentialsRefused, match="expired or revoked"):
        fetch()


def test_an_unknown_dataset_is_told(kaggle, tmp_path):
    with pytest.raises(UnknownDataset, match="owner/chps"):
        Fetched(tmp_path, "owner/chps")()


def test_too_many_requests_are_waited_for(kaggle, fetch):
    kaggle.answers = [(429, {"Retry-After": "0"}), (429, {})]
    assert files(fetch()) == NEEDED
    assert [path.rpartition("/")[2] for _, path, _ in kaggle.asked[:3]] == ["GetDataset"] * 3


def test_too_many_requests_for_too_long_are_told(kaggle, fetch):
    kaggle.answers = [(429, {"Retry-After": "3600"})]
    with pytest.raises(TooManyRequests, match="asks to wait 60 minutes; run again later"):
        fetch()


def test_a_storage_that_is_busy_is_asked_again(kaggle, fetch):
    kaggle.storage_answers = [(429, {"Retry-After": "0"}), (503, {})]
    assert files(fetch()) == NEEDED


def test_without_credentials_nothing_is_asked(kaggle, fetch, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(NoCredentials, match=r"KAGGLE_USERNAME is set and KAGGLE_KEY is not: .*\.env\.local"):
        fetch()
    monkeypatch.delenv("KAGGLE_USERNAME")
    with pytest.raises(NoCredentials, match=r"no Kaggle credentials here: .*KAGGLE_API_TOKEN"):
        fetch.source.fetch()
    assert kaggle.asked == []


def test_without_a_network_the_remedies_are_told(kaggle, fetch, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(NoNetwork, match=r"cannot be reached \(.*refused.*\); check the network, the proxy"):
        fetch()


def test_a_kaggle_that_is_silent_is_not_waited_for_without_end(kaggle, fetch, monkeypatch):
    monkeypatch.setattr("planets.sources.kaggle.TIMEOUT", (5.0, 0.2))
    kaggle.answering.clear()
    try:
        with pytest.raises(NoNetwork, match=r"cannot be reached \(no answer in time\)"):
            fetch()
    finally:
        kaggle.answering.set()


def test_without_a_network_what_lies_here_is_used_and_said(kaggle, fetch, monkeypatch, tmp_path):
    fetch()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    again = Fetched(tmp_path / "cache")
    assert files(again()) == NEEDED
    assert again.source.stamp() == "kaggle owner/chips v1"
    assert "using v1, which was downloaded before" in again.said


def test_no_key_and_no_signature_is_printed_or_sent_elsewhere(kaggle, fetch):
    kaggle.cuts = [10, *[0] * 20]
    with pytest.raises(NoNetwork) as raised:
        fetch()
    told = f"{fetch.said} {raised.value} {raised.value.__cause__}"
    assert KEY not in told
    assert SIGNATURE not in told
    assert not [host for host, _, headers in kaggle.asked if host == HOSTS[1] and "Authorization" in headers]


FETCH = """
import pathlib, sys
from planets.sources.kaggle import KaggleSource
print(KaggleSource(pathlib.Path(sys.argv[1]), "owner/chips").fetch())
"""


def test_the_file_in_the_home_folder_is_read(kaggle, running, tmp_path):
    home = tmp_path / "home"
    (home / ".kaggle").mkdir(parents=True)
    keys = home / ".kaggle" / "kaggle.json"
    keys.write_text(json.dumps({"username": USER, "key": KEY}))
    keys.chmod(0o600)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(tmp_path / "cache")],
        env=bare | running[1] | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "cache" / "kaggle-owner-chips-v1")
