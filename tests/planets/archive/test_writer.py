import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from planets.archive.audit import Audit, BadChips, audit
from planets.archive.layout import source_stamp
from planets.archive.table import find_archive
from planets.archive.writer import write_archive
from planets.chips import ArchiveError
from planets.labels import LABELS

LAYOUTS = ["", "planet", "planet/planet"]

TAGS = {
    "train_0": "haze primary",
    "train_1": "agriculture clear primary water",
    "train_2": "clear primary",
    "train_10": "cloudy",
}


def jpeg(color: tuple[int, ...], mode: str = "RGB", side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), color if len(color) > 1 else color[0]).save(file, "JPEG")
    return file.getvalue()


def lay_out(folder: Path, tags: dict[str, str] = TAGS, end: str = "\n") -> Path:
    """Write chips of one color each, and their table."""
    (folder / "train-jpg").mkdir(parents=True)
    for number, name in enumerate(tags):
        (folder / "train-jpg" / f"{name}.jpg").write_bytes(jpeg((20 * number, 90, 60)))
    lines = ["image_name,tags", *(f"{name},{cell}" for name, cell in tags.items())]
    (folder / "train_classes.csv").write_bytes(end.join([*lines, ""]).encode())
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below with its mode, mtime and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "train_classes.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "data")


class TestFindArchive:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_every_form_in_which_it_is_unpacked(self, tmp_path: Path, layout: str) -> None:
        lay_out(tmp_path / layout)
        archive = find_archive(tmp_path)
        assert archive.root == tmp_path
        assert archive.chips == tmp_path / layout / "train-jpg"
        assert archive.table == tmp_path / layout / "train_classes.csv"
        assert archive.rows["image_name"].tolist() == list(TAGS)
        assert [set(tags.split()) for tags in archive.rows["tags"]] == [set(t.split()) for t in TAGS.values()]

    def test_the_rest_of_kaggles_archive_is_no_matter(self, tmp_path: Path) -> None:
        lay_out(tmp_path / "planet/planet")
        (tmp_path / "planet/planet/test-jpg").mkdir()
        (tmp_path / "planet/planet/sample_submission.csv").write_text("image_name,tags\ntest_0,primary\n")
        (tmp_path / "test-jpg-additional/test-jpg-additional").mkdir(parents=True)
        assert len(find_archive(tmp_path).rows) == len(TAGS)

    def test_nothing_found_says_what_was_looked_for_where(self, tmp_path: Path) -> None:
        (tmp_path / "planet/train-jpg").mkdir(parents=True)
        with pytest.raises(ArchiveError) as error:
            find_archive(tmp_path)
        message = str(error.value)
        assert f"{tmp_path / 'planet'} (train-jpg/ is there, train_classes.csv is missing)" in message
        assert f"{tmp_path / 'planet/planet'} (no such folder)" in message

    def test_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"nowhere does not exist; name the folder"):
            find_archive(tmp_path / "nowhere")

    def test_a_packed_archive_must_be_unpacked(self, tmp_path: Path) -> None:
        (tmp_path / "planet.zip").touch()
        with pytest.raises(ArchiveError, match=r"planet\.zip is a file; unpack it"):
            find_archive(tmp_path / "planet.zip")


class TestAudit:
    def test_good_chips(self, folder: Path) -> None:
        found = audit(find_archive(folder), 0)
        assert found.chips["image_name"].tolist() == sorted(TAGS)
        chip = found.chips.loc[0]
        assert chip["path"] == folder / "train-jpg/train_0.jpg"
        assert chip["tags"] == "haze primary"
        assert chip["sha256"] == hashlib.sha256(chip["path"].read_bytes()).hexdigest()
        assert (found.rows, found.bad) == (4, 0)
        assert (
            found.missing
            == found.unreadable
            == found.stray
            == found.duplicates
            == found.without_weather
            == ()
        )

    def test_labels_are_counted_in_their_order(self, folder: Path) -> None:
        found = audit(find_archive(folder), 0)
        assert tuple(found.labels) == LABELS
        assert {label: count for label, count in found.labels.items() if count} == {
            "clear": 2, "cloudy": 1, "haze": 1, "primary": 3, "agriculture": 1, "water": 1,
        }  # fmt: skip

    def test_sizes_and_forms_of_jpeg(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").write_bytes(jpeg((10, 20, 30, 0), "CMYK", side=32))
        (folder / "train-jpg/train_1.jpg").write_bytes(jpeg((10,), "L"))
        found = audit(find_archive(folder), 0)
        assert found.sizes == {"16x16": 3, "32x32": 1}
        assert found.modes == {"RGB": 2, "CMYK": 1, "L": 1}

    def test_missing_and_broken_chips_are_left_out_by_name(self, folder: Path) -> None:
        chips = folder / "train-jpg"
        (chips / "train_0.jpg").unlink()
        noise = io.BytesIO()
        Image.effect_noise((64, 64), 50).save(noise, "JPEG")
        (chips / "train_1.jpg").write_bytes(noise.getvalue()[:-100])
        (chips / "train_2.jpg").write_bytes(b"")
        found = audit(find_archive(folder), 0.75)
        assert found.chips["image_name"].tolist() == ["train_10"]
        assert found.missing == ("train_0",)
        assert [name for name, _ in found.unreadable] == ["train_1", "train_2"]
        assert "truncated" in found.unreadable[0][1]
        assert "empty" in found.unreadable[1][1]
        assert (found.rows, found.bad) == (4, 3)

    def test_a_picture_of_another_kind_is_unreadable(self, folder: Path) -> None:
        Image.new("RGB", (16, 16)).save(folder / "train-jpg/train_0.jpg", "PNG")
        assert audit(find_archive(folder), 0.25).unreadable[0][0] == "train_0"

    def test_a_folder_in_a_chips_place_is_unreadable(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        (folder / "train-jpg/train_0.jpg").mkdir()
        assert audit(find_archive(folder), 0.25).unreadable == (
            ("train_0", "cannot be read: Is a directory"),
        )

    def test_more_bad_chips_than_allowed(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        (folder / "train-jpg/train_1.jpg").write_bytes(b"no picture")
        archive = find_archive(folder)
        assert audit(archive, 0.5).bad == 2
        with pytest.raises(BadChips) as error:
            audit(archive, 0.49)
        message = str(error.value)
        assert f"{archive.chips}: 2 of the 4 chips in {archive.table} cannot be used" in message
        assert "50.00% where 49.00% is allowed; 1 missing: train_0; 1 unreadable: train_1 (" in message
        assert "max_bad_fraction" in message

    def test_only_the_first_bad_names_are_listed(self, tmp_path: Path) -> None:
        folder = lay_out(tmp_path / "many", {f"train_{n}": "cloudy" for n in range(9)})
        for n in range(8):
            (folder / f"train-jpg/train_{n}.jpg").unlink()
        with pytest.raises(BadChips, match=r"8 missing: train_0, .*train_4 and 3 more\."):
            audit(find_archive(folder), 0.1)

    def test_no_good_chip_at_all_is_never_allowed(self, folder: Path) -> None:
        shutil.rmtree(folder / "train-jpg")
        (folder / "train-jpg").mkdir()
        with pytest.raises(BadChips, match="4 of the 4 chips"):
            audit(find_archive(folder), 1.0)

    def test_files_without_a_row_are_no_error(self, folder: Path) -> None:
        (folder / "train-jpg/.DS_Store").touch()
        (folder / "train-jpg/train_99.jpg").write_bytes(jpeg((1, 2, 3)))
        assert audit(find_archive(folder), 0).stray == (".DS_Store", "train_99.jpg")

    def test_identical_files_are_grouped(self, folder: Path) -> None:
        shutil.copy(folder / "train-jpg/train_2.jpg", folder / "train-jpg/train_0.jpg")
        assert audit(find_archive(folder), 0).duplicates == (("train_0", "train_2"),)

    def test_chips_without_weather_are_named(self, tmp_path: Path) -> None:
        folder = lay_out(tmp_path / "data", {"train_24448": "water", "train_0": "clear"})
        assert audit(find_archive(folder), 0).without_weather == ("train_24448",)

    def test_any_number_of_threads_finds_the_same(self, folder: Path) -> None:
        archive = find_archive(folder)
        one, many = audit(archive, 0, threads=1), audit(archive, 0, threads=7)
        pd.testing.assert_frame_equal(one.chips, many.chips)
        assert one.to_json() == many.to_json()

    def test_nothing_in_the_users_folder_changes(self, folder: Path, tmp_path: Path) -> None:
        before = snapshot(folder)
        source_stamp(folder)
        write_archive(audit(find_archive(folder), 0).chips, tmp_path / "new")
        assert snapshot(folder) == before


class TestReport:
    def test_json_counts_all_and_lists_the_first(self, tmp_path: Path) -> None:
        folder = lay_out(tmp_path / "data")
        for n in range(120):
            (folder / f"train-jpg/other_{n:03}.jpg").touch()
        found = audit(find_archive(folder), 0)
        report = json.loads(found.to_json())
        assert report["stray"]["count"] == 120
        assert report["stray"]["first"] == list(found.stray[:100])
        assert report["content_hash"] == found.content_hash
        assert report["modes"] == {"RGB": 4}
        assert (report["rows"], report["chips"]) == (4, 4)

    def test_summary_is_silent_about_what_was_not_found(self, folder: Path) -> None:
        found = audit(find_archive(folder), 0)
        assert found.summary()[0] == "4 of 4 chips are good: 16x16 4 px, RGB 4"
        assert len(found.summary()) == 2

    def test_summary_names_what_was_found(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        shutil.copy(folder / "train-jpg/train_2.jpg", folder / "train-jpg/train_1.jpg")
        assert audit(find_archive(folder), 0.5).summary()[2:] == [
            "1 missing, left out: train_0",
            "1 groups of identical chips, kept together in the split: train_1 = train_2",
        ]


def edit_pixels(folder: Path) -> None:
    (folder / "train-jpg/train_0.jpg").write_bytes(jpeg((255, 0, 0)))


def edit_tags(folder: Path) -> None:
    path = folder / "train_classes.csv"
    path.write_text(path.read_text().replace("haze primary", "clear primary"))


def lose_a_chip(folder: Path) -> None:
    (folder / "train-jpg/train_0.jpg").unlink()


def swap_two_chips(folder: Path) -> None:
    chips = folder / "train-jpg"
    one, other = chips / "train_0.jpg", chips / "train_1.jpg"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


class TestContentHash:
    @pytest.fixture
    def known(self, folder: Path) -> str:
        return audit(find_archive(folder), 0).content_hash

    def hash_of(self, folder: Path, bad: float = 0) -> str:
        return audit(find_archive(folder), bad).content_hash

    def test_it_is_a_sha256(self, known: str) -> None:
        assert len(bytes.fromhex(known)) == 32

    def test_the_place_says_nothing(self, known: str, tmp_path: Path) -> None:
        assert self.hash_of(lay_out(tmp_path / "elsewhere/planet/planet").parent.parent) == known

    @pytest.mark.parametrize("end", ["\r\n", "\r"])
    def test_line_ends_say_nothing(self, known: str, tmp_path: Path, end: str) -> None:
        assert self.hash_of(lay_out(tmp_path / "other", end=end)) == known

    def test_the_order_of_rows_and_tags_says_nothing(self, known: str, folder: Path) -> None:
        rows = [f"{name},{' '.join(reversed(cell.split()))}" for name, cell in reversed(TAGS.items())]
        table(folder, "\n".join(["image_name,tags", *rows]))
        assert self.hash_of(folder) == known

    def test_stray_files_say_nothing(self, known: str, folder: Path) -> None:
        (folder / "train-jpg/notes.txt").touch()
        assert self.hash_of(folder) == known

    @pytest.mark.parametrize("change", [edit_pixels, edit_tags, lose_a_chip, swap_two_chips])
    def test_every_change_of_content_shows(
        self, known: str, folder: Path, change: Callable[[Path], None]
    ) -> None:
        change(folder)
        assert self.hash_of(folder, 0.5) != known


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


class TestWriteArchive:
    @pytest.fixture
    def found(self, folder: Path) -> Audit:
        shutil.copy(folder / "train-jpg/train_2.jpg", folder / "train-jpg/train_1.jpg")
        return audit(find_archive(folder), 0)

    def test_it_is_read_back_to_the_same_content(self, found: Audit, tmp_path: Path) -> None:
        new = write_archive(found.chips, tmp_path / "deep/new")
        again = audit(find_archive(new), 0)
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
        found = audit(find_archive(folder), 0.5)
        new = write_archive(found.chips, tmp_path / "new")
        assert {path.stem for path in (new / "train-jpg").iterdir()} == {"train_1", "train_10", "train_2"}
        assert audit(find_archive(new), 0).content_hash == found.content_hash

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
        assert len(find_archive(write_archive(found.chips, tmp_path / "new")).rows) == 4

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
