import hashlib
import os
import shutil
from pathlib import Path

import pytest
from support.archives import jpeg

from planets.archive.audit import Audit, audit
from planets.archive.table import find_archive
from planets.archive.writer import write_archive
from planets.chips import ArchiveError
from planets.synthetic.labels import PLANETS


class TestWriteArchive:
    @pytest.fixture
    def found(self, folder: Path) -> Audit:
        shutil.copy(folder / "train-jpg/train_2.jpg", folder / "train-jpg/train_1.jpg")
        return audit(find_archive(folder, PLANETS), 0)

    def test_it_is_read_back_to_the_same_content(self, found: Audit, tmp_path: Path) -> None:
        new = write_archive(found.chips, tmp_path / "deep/new")
        again = audit(find_archive(new, PLANETS), 0)
        assert again.content_hash == found.content_hash
        assert again.duplicates == found.duplicates

    def test_rows_are_sorted_and_tags_in_label_order(self, found: Audit, tmp_path: Path) -> None:
        new = write_archive(found.chips[::-1], tmp_path / "new")
        assert (new / "train_classes.csv").read_bytes() == (
            b"image_name,tags\ntrain_0,haze primary\ntrain_1,clear primary agriculture water\n"
            b"train_10,cloudy\ntrain_2,clear primary\n"
        )

    def test_files_are_copies_neither_links_nor_the_users_own(self, found: Audit, tmp_path: Path) -> None:
        new = write_archive(found.chips, tmp_path / "new")
        for name, path in zip(found.chips["image_name"], found.chips["path"], strict=True):
            copy = new / "train-jpg" / f"{name}.jpg"
            assert not copy.is_symlink()
            assert not copy.samefile(path)
            assert copy.stat().st_nlink == 1

    def test_nothing_but_the_good_chips(self, folder: Path, tmp_path: Path) -> None:
        (folder / "train-jpg/train_0.jpg").write_bytes(b"broken")
        (folder / "train-jpg/stray.jpg").touch()
        found = audit(find_archive(folder, PLANETS), 0.5)
        new = write_archive(found.chips, tmp_path / "new")
        assert {path.stem for path in (new / "train-jpg").iterdir()} == {"train_1", "train_10", "train_2"}
        assert audit(find_archive(new, PLANETS), 0).content_hash == found.content_hash

    def test_only_some_files_with_the_whole_table(self, found: Audit, tmp_path: Path) -> None:
        new = write_archive(
            found.chips, tmp_path / "new", found.chips[found.chips["image_name"] == "train_2"]
        )
        assert [path.name for path in (new / "train-jpg").iterdir()] == ["train_2.jpg"]
        assert len((new / "train_classes.csv").read_text().splitlines()) == 1 + len(found.chips)

    def test_a_chip_that_changed_since_the_audit(self, found: Audit, tmp_path: Path) -> None:
        (tmp_path / "data/train-jpg/train_1.jpg").write_bytes(jpeg((9, 9, 9)))
        with pytest.raises(
            ArchiveError, match=r"train_1\.jpg has changed since it was audited; run the audit"
        ):
            write_archive(found.chips, tmp_path / "out/new")
        assert list((tmp_path / "out").iterdir()) == []

    def test_an_edit_that_keeps_the_size_shows_by_its_time(self, found: Audit, tmp_path: Path) -> None:
        path = tmp_path / "data/train-jpg/train_1.jpg"
        audited = path.stat()
        path.write_bytes(bytes(audited.st_size))
        os.utime(path, ns=(audited.st_atime_ns, audited.st_mtime_ns + 1))
        with pytest.raises(ArchiveError, match="has changed since it was audited"):
            write_archive(found.chips, tmp_path / "new")

    def test_audited_files_are_not_hashed_again(
        self, found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(hashlib, "sha256")
        write_archive(found.chips, tmp_path / "new")

    def test_an_empty_folder_is_filled(self, found: Audit, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        assert len(find_archive(write_archive(found.chips, tmp_path / "new"), PLANETS).rows) == 4

    def test_a_folder_that_holds_something_is_left_alone(self, found: Audit, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        (tmp_path / "new/mine.txt").touch()
        with pytest.raises(ArchiveError, match="new exists already; name a new or an empty folder"):
            write_archive(found.chips, tmp_path / "new")
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]

    def test_two_chips_of_one_name_are_refused(self, found: Audit, tmp_path: Path) -> None:
        with pytest.raises(FileExistsError):
            write_archive(found.chips.iloc[[0, 0]], tmp_path / "new")
        assert not (tmp_path / "new").exists()
