import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.archives import TAGS, jpeg, lay_out, snapshot, table

from planets.archive.audit import BadChips, audit
from planets.archive.layout import source_stamp
from planets.archive.table import find_archive
from planets.archive.writer import write_archive
from planets.chips.jpeg import decode
from planets.synthetic.labels import LABELS, PLANETS


class TestAudit:
    def test_good_chips(self, folder: Path) -> None:
        found = audit(find_archive(folder, PLANETS), 0)
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
            == found.without_group["weather"]
            == ()
        )

    def test_its_progress_is_printed(self, folder: Path) -> None:
        lines: list[str] = []
        audit(find_archive(folder, PLANETS), 0, say=lines.append)
        assert len(lines) == 1
        assert lines[0].startswith("reading: 4 of 4 chips (100 %), ")

    def test_labels_are_counted_in_their_order(self, folder: Path) -> None:
        found = audit(find_archive(folder, PLANETS), 0)
        assert tuple(found.labels) == LABELS
        assert {label: count for label, count in found.labels.items() if count} == {
            "clear": 2, "cloudy": 1, "haze": 1, "primary": 3, "agriculture": 1, "water": 1,
        }  # fmt: skip

    def test_sizes_and_forms_of_jpeg(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").write_bytes(jpeg((10, 20, 30, 0), "CMYK", side=32))
        (folder / "train-jpg/train_1.jpg").write_bytes(jpeg((10,), "L"))
        found = audit(find_archive(folder, PLANETS), 0)
        assert found.sizes == {"16x16": 3, "32x32": 1}
        assert found.modes == {"RGB": 2, "CMYK": 1, "L": 1}

    def test_missing_and_broken_chips_are_left_out_by_name(self, folder: Path) -> None:
        chips = folder / "train-jpg"
        (chips / "train_0.jpg").unlink()
        noise = io.BytesIO()
        Image.effect_noise((64, 64), 50).save(noise, "JPEG")
        (chips / "train_1.jpg").write_bytes(noise.getvalue()[:-100])
        (chips / "train_2.jpg").write_bytes(b"")
        found = audit(find_archive(folder, PLANETS), 0.75)
        assert found.chips["image_name"].tolist() == ["train_10"]
        assert found.missing == ("train_0",)
        assert [name for name, _ in found.unreadable] == ["train_1", "train_2"]
        assert "truncated" in found.unreadable[0][1]
        assert "empty" in found.unreadable[1][1]
        assert (found.rows, found.bad) == (4, 3)

    def test_a_known_file_is_hashed_but_not_decoded(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = audit(find_archive(folder, PLANETS), 0)
        changed = folder / "train-jpg/train_1.jpg"
        changed.write_bytes(changed.read_bytes() + b"more")
        decoded: list[bytes] = []

        def recorded(data: bytes) -> NDArray[np.uint8]:
            decoded.append(data)
            return decode(data)

        monkeypatch.setattr("planets.archive.audit.decode", recorded)
        after = audit(find_archive(folder, PLANETS), 0, known=set(before.chips["sha256"]))
        assert decoded == [changed.read_bytes()]
        columns = ["image_name", "sha256", "dimensions", "mode"]
        rest = [frame[columns][frame["image_name"] != "train_1"] for frame in (before.chips, after.chips)]
        pd.testing.assert_frame_equal(*rest)

    def test_a_picture_of_another_kind_is_unreadable(self, folder: Path) -> None:
        Image.new("RGB", (16, 16)).save(folder / "train-jpg/train_0.jpg", "PNG")
        assert audit(find_archive(folder, PLANETS), 0.25).unreadable == (
            ("train_0", "the chip is a PNG file, whatever its name is; convert it to JPEG"),
        )

    def test_chips_of_every_suffix_are_good(self, folder: Path) -> None:
        chips = folder / "train-jpg"
        expected = audit(find_archive(folder, PLANETS), 0).content_hash
        (chips / "train_0.jpg").rename(chips / "train_0.JPG")
        (chips / "train_1.jpg").rename(chips / "train_1.jpeg")
        found = audit(find_archive(folder, PLANETS), 0)
        assert (found.content_hash, found.stray) == (expected, ())
        copy = write_archive(found.chips, folder.parent / "copy")
        assert audit(find_archive(copy, PLANETS), 0).content_hash == expected

    def test_a_chip_in_another_format_is_named(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        Image.new("RGB", (16, 16)).save(folder / "train-jpg/train_0.png")
        found = audit(find_archive(folder, PLANETS), 0.25)
        assert found.missing == ()
        assert found.unreadable == (("train_0", "its file is train_0.png; convert it to train_0.jpg"),)

    def test_a_folder_in_a_chips_place_is_unreadable(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        (folder / "train-jpg/train_0.jpg").mkdir()
        assert audit(find_archive(folder, PLANETS), 0.25).unreadable == (
            ("train_0", "cannot be read: Is a directory"),
        )

    def test_more_bad_chips_than_allowed(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        (folder / "train-jpg/train_1.jpg").write_bytes(b"no picture")
        archive = find_archive(folder, PLANETS)
        assert audit(archive, 0.5).bad == 2
        with pytest.raises(BadChips) as error:
            audit(archive, 0.49)
        message = str(error.value)
        assert f"2 of the 4 chips in {archive.table} cannot be used" in message
        assert "50.00% where 49.00% is allowed; 1 missing: train_0; 1 unreadable: train_1 (" in message
        assert "max_bad_fraction" in message

    def test_only_the_first_bad_names_are_listed(self, tmp_path: Path) -> None:
        folder = lay_out(tmp_path / "many", {f"train_{n}": "cloudy" for n in range(9)})
        for n in range(8):
            (folder / f"train-jpg/train_{n}.jpg").unlink()
        with pytest.raises(BadChips, match=r"8 missing: train_0, .*train_4 and 3 more\."):
            audit(find_archive(folder, PLANETS), 0.1)

    def test_no_good_chip_at_all_is_never_allowed(self, folder: Path) -> None:
        shutil.rmtree(folder / "train-jpg")
        (folder / "train-jpg").mkdir()
        with pytest.raises(BadChips, match="4 of the 4 chips"):
            audit(find_archive(folder, PLANETS), 1.0)

    def test_files_without_a_row_are_no_error(self, folder: Path) -> None:
        (folder / "train-jpg/.DS_Store").touch()
        (folder / "train-jpg/train_99.jpg").write_bytes(jpeg((1, 2, 3)))
        assert audit(find_archive(folder, PLANETS), 0).stray == (".DS_Store", "train_99.jpg")

    def test_identical_files_are_grouped(self, folder: Path) -> None:
        shutil.copy(folder / "train-jpg/train_2.jpg", folder / "train-jpg/train_0.jpg")
        assert audit(find_archive(folder, PLANETS), 0).duplicates == (("train_0", "train_2"),)

    def test_chips_without_weather_are_named(self, tmp_path: Path) -> None:
        folder = lay_out(tmp_path / "data", {"train_24448": "water", "train_0": "clear"})
        assert audit(find_archive(folder, PLANETS), 0).without_group["weather"] == ("train_24448",)

    def test_any_number_of_threads_finds_the_same(self, folder: Path) -> None:
        archive = find_archive(folder, PLANETS)
        one, many = audit(archive, 0, threads=1), audit(archive, 0, threads=7)
        pd.testing.assert_frame_equal(one.chips, many.chips)
        assert one.to_json() == many.to_json()

    def test_nothing_in_the_users_folder_changes(self, folder: Path, tmp_path: Path) -> None:
        before = snapshot(folder)
        source_stamp(folder)
        write_archive(audit(find_archive(folder, PLANETS), 0).chips, tmp_path / "new")
        assert snapshot(folder) == before


class TestReport:
    def test_json_counts_all_and_lists_the_first(self, tmp_path: Path) -> None:
        folder = lay_out(tmp_path / "data")
        for n in range(120):
            (folder / f"train-jpg/other_{n:03}.jpg").touch()
        found = audit(find_archive(folder, PLANETS), 0)
        report = json.loads(found.to_json())
        assert report["stray"]["count"] == 120
        assert report["stray"]["first"] == list(found.stray[:100])
        assert report["content_hash"] == found.content_hash
        assert report["modes"] == {"RGB": 4}
        assert (report["rows"], report["chips"]) == (4, 4)

    def test_summary_is_silent_about_what_was_not_found(self, folder: Path) -> None:
        found = audit(find_archive(folder, PLANETS), 0)
        assert found.summary()[0] == "4 of 4 chips are good: 16x16 4 px, RGB 4"
        assert len(found.summary()) == 2

    def test_summary_names_what_was_found(self, folder: Path) -> None:
        (folder / "train-jpg/train_0.jpg").unlink()
        shutil.copy(folder / "train-jpg/train_2.jpg", folder / "train-jpg/train_1.jpg")
        assert audit(find_archive(folder, PLANETS), 0.5).summary()[2:] == [
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
        return audit(find_archive(folder, PLANETS), 0).content_hash

    def hash_of(self, folder: Path, bad: float = 0) -> str:
        return audit(find_archive(folder, PLANETS), bad).content_hash

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
