import os
from pathlib import Path

import pytest
from support.archives import LAYOUTS, TAGS, lay_out

from planets.archive.layout import source_stamp
from planets.archive.table import find_archive
from planets.chips import ArchiveError
from planets.synthetic.labels import PLANETS


class TestFindArchive:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_every_form_in_which_it_is_unpacked(self, tmp_path: Path, layout: str) -> None:
        lay_out(tmp_path / layout)
        archive = find_archive(tmp_path, PLANETS)
        assert archive.root == tmp_path
        assert archive.folders[""] == tmp_path / layout / "train-jpg"
        assert archive.table == tmp_path / layout / "train_classes.csv"
        assert archive.rows["image_name"].tolist() == list(TAGS)
        assert [set(tags.split()) for tags in archive.rows["tags"]] == [set(t.split()) for t in TAGS.values()]

    def test_the_rest_of_kaggles_archive_is_no_matter(self, tmp_path: Path) -> None:
        lay_out(tmp_path / "planet/planet")
        (tmp_path / "planet/planet/test-jpg").mkdir()
        (tmp_path / "planet/planet/sample_submission.csv").write_text("image_name,tags\ntest_0,primary\n")
        (tmp_path / "test-jpg-additional/test-jpg-additional").mkdir(parents=True)
        assert len(find_archive(tmp_path, PLANETS).rows) == len(TAGS)

    def test_nothing_found_says_what_was_looked_for_where(self, tmp_path: Path) -> None:
        (tmp_path / "planet/train-jpg").mkdir(parents=True)
        with pytest.raises(ArchiveError) as error:
            find_archive(tmp_path, PLANETS)
        message = str(error.value)
        assert f"{tmp_path / 'planet'} (train-jpg/ is there, train_classes.csv is missing)" in message
        assert f"{tmp_path / 'planet/planet'} (no such folder)" in message

    def test_the_table_of_kaggles_competition(self, folder: Path) -> None:
        (folder / "train_classes.csv").rename(folder / "train_v2.csv")
        assert find_archive(folder, PLANETS).table == folder / "train_v2.csv"
        (folder / "train_classes.csv").write_text("image_name,tags\ntrain_0,clear\n")
        with pytest.raises(ArchiveError, match=r"train_classes\.csv and .*train_v2\.csv differ; keep one"):
            find_archive(folder, PLANETS)
        (folder / "train_v2.csv").write_bytes((folder / "train_classes.csv").read_bytes())
        assert find_archive(folder, PLANETS).table == folder / "train_classes.csv"

    def test_a_doubled_folder_of_chips(self, folder: Path) -> None:
        doubled = folder / "train-jpg" / "train-jpg"
        (folder / "train-jpg").rename(folder / "chips")
        (folder / "train-jpg").mkdir()
        (folder / "chips").rename(doubled)
        archive = find_archive(folder, PLANETS)
        assert archive.folders[""] == doubled
        assert all(file.is_file() for file in archive.files)
        stamp = source_stamp(folder)
        os.utime(doubled / "train_0.jpg", ns=(1, 1))
        assert source_stamp(folder) != stamp
        (folder / "train-jpg/train_0.jpg").touch()
        with pytest.raises(ArchiveError, match=r"both .*train-jpg and .*train-jpg/train-jpg hold chips"):
            find_archive(folder, PLANETS)

    @pytest.mark.parametrize("name", ["train_0.JPG", "train_0.jpeg", "train_0.JPEG"])
    def test_every_suffix_of_a_chip(self, folder: Path, name: str) -> None:
        (folder / "train-jpg/train_0.jpg").rename(folder / "train-jpg" / name)
        (folder / "train-jpg/._train_0.jpg").touch()
        assert find_archive(folder, PLANETS).files[0] == folder / "train-jpg" / name

    def test_two_files_of_one_chip(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.JPEG").touch()
        with pytest.raises(ArchiveError, match=r"train_0\.JPEG and .*train_0\.jpg would both be 'train_0'"):
            _ = find_archive(folder, PLANETS).files

    def test_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"nowhere does not exist; name the folder"):
            find_archive(tmp_path / "nowhere", PLANETS)

    def test_a_packed_archive_must_be_unpacked(self, tmp_path: Path) -> None:
        (tmp_path / "planet.zip").touch()
        with pytest.raises(ArchiveError, match=r"planet\.zip is a file; unpack it"):
            find_archive(tmp_path / "planet.zip", PLANETS)


class TestSourceStamp:
    def test_it_stays_while_nothing_changes(self, folder: Path) -> None:
        assert source_stamp(folder) == source_stamp(folder)

    @pytest.mark.parametrize("file", ["train-jpg/train_0.jpg", "train_classes.csv"])
    def test_a_touched_file_shows(self, folder: Path, file: str) -> None:
        before = source_stamp(folder)
        os.utime(folder / file, ns=(1, 1))
        assert source_stamp(folder) != before

    def test_a_new_file_and_a_lost_file_show(self, folder: Path) -> None:
        stamps = {source_stamp(folder)}
        (folder / "train-jpg/train_1.jpg").rename(folder / "train-jpg/train_5.jpg")
        stamps.add(source_stamp(folder))
        (folder / "train-jpg/train_5.jpg").unlink()
        stamps.add(source_stamp(folder))
        assert len(stamps) == 3

    def test_other_files_say_nothing(self, folder: Path) -> None:
        before = source_stamp(folder)
        (folder / "sample_submission.csv").touch()
        assert source_stamp(folder) == before

    def test_a_broken_link_is_no_obstacle(self, folder: Path) -> None:
        before = source_stamp(folder)
        (folder / "train-jpg/train_7.jpg").symlink_to(folder / "nothing")
        assert source_stamp(folder) != before

    def test_pictures_are_not_read(self, folder: Path) -> None:
        before = source_stamp(folder)
        path = folder / "train-jpg/train_0.jpg"
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert source_stamp(folder) == before
