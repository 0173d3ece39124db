"""Archives made to leave their folder, to fill the disk or to be cut: unpacked safely or not at all."""

import errno
import io
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from support.kaggle_standin import zipped

from planets.sources import BadDownload
from planets.sources.unpack import UnsafeArchive, unpack
from planets.system import DiskFull

GOOD = {"train-jpg/train_0.jpg": b"chip" * 100, "train_classes.csv": b"image_name,tags\n"}


def everything(_path: PurePosixPath) -> bool:
    return True


def unpacked(tmp_path: Path, data: bytes) -> Path:
    archive = tmp_path / "some.zip"
    archive.write_bytes(data)
    return unpack(archive, tmp_path / "folder", everything, lambda _: None, lambda _: None)


def entry(name: str, mode: int = 0, system: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.create_system = system
    info.external_attr = mode << 16
    return info


def with_entries(*entries: zipfile.ZipInfo) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train_classes.csv", b"image_name,tags\n")
        for each in entries:
            archive.writestr(each, b"/etc/passwd")
    return file.getvalue()


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_good_archive_is_unpacked_and_used_up(tmp_path):
    folder = unpacked(tmp_path, zipped(GOOD, zipfile.ZIP_DEFLATED))
    assert {name: (folder / name).read_bytes() for name in GOOD} == GOOD
    assert snapshot(tmp_path) == {"folder", "folder/train-jpg", *(f"folder/{name}" for name in GOOD)}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "train-jpg/../../evil.jpg",
        "train-jpg/..",
        "/etc/evil.jpg",
        "//host/evil.jpg",
        "C:/evil.jpg",
        "C:evil.jpg",
        "..\\evil.jpg",
        "train-jpg\\evil.jpg",
        "evil\n.jpg",
        "evil.jpg\0.txt",
        "train-jpg/CON",
        "train-jpg/nul.jpg",
        "com1/evil.jpg",
    ],
)
def test_a_path_that_is_a_trick_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(UnsafeArchive, match="refused: its path"):
        unpacked(tmp_path, with_entries(entry(name)))
    assert snapshot(tmp_path) == set()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_a_link_or_a_device_is_refused(tmp_path, kind):
    with pytest.raises(UnsafeArchive, match=r"'train-jpg' is refused: it is a link or a device"):
        unpacked(tmp_path, with_entries(entry("train-jpg", kind | 0o777)))
    assert snapshot(tmp_path) == set()


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["train_classes.csv"], "is repeated"),
        (["Train_Classes.CSV"], "is repeated"),
        (["a/./b.jpg", "a/b.jpg"], "is repeated"),
        (["a", "a/b.jpg"], "a file and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_for_one_place_are_refused(tmp_path, names, fault):
    with pytest.raises(UnsafeArchive, match=fault):
        unpacked(tmp_path, with_entries(*map(entry, names)))


def test_a_bomb_is_refused_by_its_directory_alone(tmp_path):
    bomb = zipped({"train-jpg/train_0.jpg": bytes(70_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UnsafeArchive, match="would unpack to 70,000,000"):
        unpacked(tmp_path, bomb)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    data = bytearray(zipped({"a.jpg": b"x" * 100, "b.jpg": b"x" * 100}))
    second = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, second + 42, 50)
    with pytest.raises(UnsafeArchive, match=r"'b\.jpg' is refused: it overlaps"):
        unpacked(tmp_path, bytes(data))


def test_a_member_that_is_longer_than_it_says_is_never_written_out(tmp_path):
    data = bytearray(zipped({"a.jpg": b"x" * 1000}, zipfile.ZIP_DEFLATED))
    struct.pack_into("<L", data, data.rindex(b"PK\1\2") + 24, 10)
    with pytest.raises(BadDownload, match="is broken"):
        unpacked(tmp_path, bytes(data))
    assert snapshot(tmp_path) == set()


@pytest.mark.parametrize(
    ("flag", "method", "fault"), [(1, 0, "encrypted"), (0, 12, "method 12 is not supported")]
)
def test_what_cannot_be_read_is_refused(tmp_path, flag, method, fault):
    data = bytearray(zipped({"a.jpg": b"x" * 100}))
    struct.pack_into("<HH", data, data.rindex(b"PK\1\2") + 8, flag, method)
    with pytest.raises(UnsafeArchive, match=fault):
        unpacked(tmp_path, bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_byte_that_is_wrong_is_noticed_and_nothing_stays(tmp_path, method):
    data = bytearray(zipped(GOOD | {"z.jpg": bytes(range(256)) * 8}, method))
    data[data.index(b"z.jpg") + 20] ^= 0xFF
    with pytest.raises(BadDownload, match=r"is broken .* run again"):
        unpacked(tmp_path, bytes(data))
    assert snapshot(tmp_path) == set()


@pytest.mark.parametrize("data", [b"", b"<html>Sign in</html>", zipped(GOOD)[:-30]])
def test_what_is_no_archive_is_told(tmp_path, data):
    with pytest.raises(BadDownload, match=r"some\.zip is broken"):
        unpacked(tmp_path, data)
    assert snapshot(tmp_path) == set()


def test_too_little_room_is_told_and_the_archive_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("planets.system.RESERVE", 10**18)
    with pytest.raises(DiskFull, match="unpacking needs"):
        unpacked(tmp_path, zipped(GOOD))
    assert snapshot(tmp_path) == {"some.zip"}


def test_a_disk_that_becomes_full_keeps_the_archive_and_no_folder(tmp_path):
    archive = tmp_path / "some.zip"
    archive.write_bytes(zipped(GOOD))

    def full(_folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="became full"):
        unpack(archive, tmp_path / "folder", everything, full, lambda _: None)
    assert snapshot(tmp_path) == {"some.zip"}
