"""A folder per label: the second layout of a local source."""

import os
from pathlib import Path

import pytest
from support.archives import lay_out_folders, snapshot

from planets.archive.audit import audit
from planets.archive.layout import class_folders, source_stamp
from planets.archive.table import discover_labels, find_archive
from planets.archive.writer import write_archive
from planets.chips import ArchiveError
from planets.labels import Group, LabelSet, UnknownTag

LABELS = LabelSet(labels=("red", "blue", "pale-green"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out_folders(tmp_path / "shapes", {"blue": 2, "pale-green": 1, "red": 3})


def test_each_chip_has_the_label_of_its_folder(folder: Path) -> None:
    before = snapshot(folder)
    (folder / ".hidden").mkdir()
    (folder / "notes").mkdir()
    archive = find_archive(folder, LABELS)
    assert dict(archive.rows.itertuples(index=False)) == {
        **dict.fromkeys(["blue-0", "blue-1"], "blue"),
        "pale-green-0": "pale-green",
        **dict.fromkeys(["red-0", "red-1", "red-2"], "red"),
    }
    assert archive.files[0] == folder / "blue/0.jpg"
    (folder / ".hidden").rmdir()
    (folder / "notes").rmdir()
    assert snapshot(folder).keys() == before.keys()


def test_it_is_audited_and_registered_like_any_other(folder: Path, tmp_path: Path) -> None:
    (folder / "red/notes.txt").write_text("none")
    (folder / "blue/1.jpg").write_bytes(b"no picture")
    found = audit(find_archive(folder, LABELS), 0.5)
    assert found.labels == {"red": 3, "blue": 1, "pale-green": 1}
    assert [name for name, _ in found.unreadable] == ["blue-1"]
    assert found.stray == ("notes.txt",)
    copied = find_archive(write_archive(found.chips, tmp_path / "copy"), LABELS)
    assert sorted(copied.rows["tags"]) == ["blue", "pale-green", "red", "red", "red"]
    assert audit(copied, 0).content_hash == found.content_hash


def test_its_labels_are_the_folders_of_which_exactly_one_applies(folder: Path) -> None:
    names = ("blue", "pale-green", "red")
    assert discover_labels(folder) == LabelSet(labels=names, groups=(Group(name="class", labels=names),))


def test_a_folder_that_is_no_label_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(UnknownTag, match=r"pale-green: unknown tag 'pale-green'; the labels are: red, blue"):
        find_archive(folder, LabelSet(labels=("red", "blue")))
    (folder / "pale-green").rename(folder / "pale green")
    with pytest.raises(ValueError, match=r"'pale green' is no label.*write 'pale-green'"):
        discover_labels(folder)


def test_two_chips_of_one_name_and_a_chip_without_a_usable_one_are_refused(folder: Path) -> None:
    (folder / "red/0.JPG").write_bytes(b"")
    with pytest.raises(ArchiveError, match="would both be '0' in the table"):
        find_archive(folder, LABELS)
    (folder / "red/0.JPG").rename(folder / "red/é.jpg")
    with pytest.raises(ArchiveError, match="'red-é' cannot name a chip"):
        find_archive(folder, LABELS)


@pytest.mark.parametrize("name", ["train-jpg", "test-jpg", "planet"])
def test_an_incomplete_kaggle_archive_has_no_folders_of_labels(folder: Path, name: str) -> None:
    (folder / "red").rename(folder / name)
    assert class_folders(folder) == {}
    with pytest.raises(ArchiveError, match="and for folders of JPEG files, one per label"):
        find_archive(folder, LABELS)


def test_the_stamp_changes_with_each_folder(folder: Path) -> None:
    stamps = {source_stamp(folder)}
    (folder / "red/1.jpg").rename(folder / "blue/9.jpg")
    stamps.add(source_stamp(folder))
    os.utime(folder / "blue/0.jpg", ns=(1, 1))
    stamps.add(source_stamp(folder))
    (folder / "red").rename(folder / "crimson")
    stamps.add(source_stamp(folder))
    assert len(stamps) == 4
