"""`submission`: Kaggle's file over both folders of test pictures, in small archives of the real layout."""

from pathlib import Path

import pytest
from support.synthetic import jpeg, make_labels, make_pixels
from support.using import run, table

from planets.chips import ArchiveError
from planets.serving.pictures import find_test

NAMES = ["test_2", "test_0", "file_1", "test_1", "file_0"]
"""In an order of its own, as in Kaggle's table."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    chips = iter(make_pixels(make_labels(len(NAMES))))
    for name in NAMES:
        place = (
            "planet/planet/test-jpg" if name.startswith("test") else "test-jpg-additional/test-jpg-additional"
        )
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / f"{name}.jpg").write_bytes(jpeg(next(chips), "CMYK"))
    write_names(folder, NAMES)
    return folder


def write_names(folder: Path, names: list[str]) -> None:
    rows = [f"{name},primary clear" for name in names]
    (folder / "planet/planet/sample_submission.csv").write_text("\n".join(["image_name,tags", *rows, ""]))


def test_has_kaggles_names_in_kaggles_order(archive: Path, bundle_folder: Path, tmp_path: Path) -> None:
    (archive / "planet/planet/test-jpg/test_99.jpg").write_bytes(b"is not asked for")
    printed = run(tmp_path, "submission", "--dataset-path", archive, "--bundle", bundle_folder)
    assert (tmp_path / "submission.csv").read_text().startswith("image_name,tags\ntest_2,")
    rows = table(tmp_path / "submission.csv")
    assert [row["image_name"] for row in rows] == NAMES
    run(tmp_path, "predict", archive, "--bundle", bundle_folder)
    tags = {Path(row["image_name"]).name: row["tags"] for row in table(tmp_path / "predictions.csv")}
    assert {row["image_name"]: row["tags"] for row in rows} == tags
    assert "5 pictures of the sample submission, 1 others are skipped" in printed
    assert "5 rows by tiny in submission.csv" in printed


def test_a_picture_that_cannot_be_read_is_fetched_again_and_only_that_one_is_done(
    archive: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    file = archive / "test-jpg-additional/test-jpg-additional/file_1.jpg"
    good = file.read_bytes()
    file.write_bytes(good[:500])
    words = ("submission", "--dataset-path", archive, "--bundle", bundle_folder, "--out", "s.csv")
    printed = run(tmp_path, *words, code=1)
    assert f"unreadable: {file}" in printed
    assert "no submission without these 1 pictures" in printed
    assert not (tmp_path / "s.csv").exists()
    file.write_bytes(good)
    assert "4 were predicted before" in run(tmp_path, *words)
    assert [row["image_name"] for row in table(tmp_path / "s.csv")] == NAMES
    assert [file.name for file in tmp_path.glob("s.*")] == ["s.csv"]


@pytest.mark.parametrize("root", [".", "planet", "planet/planet"])
def test_takes_each_root_of_the_archive(root: str, archive: Path) -> None:
    assert [picture.name for picture in find_test(archive / root)[0]] == NAMES


@pytest.mark.parametrize(
    ("names", "content"),
    [
        ("sample_submission_v2.csv", "image_name,tags\n{}"),
        ("sample_submission.csv", "\ufeffimage_name;tags\r\n{}"),
        ("sample_submission.csv", "tags\timage_name\n{}"),
    ],
)
def test_takes_the_tables_and_files_that_training_takes(names: str, content: str, archive: Path) -> None:
    inner = archive / "planet/planet"
    (inner / "sample_submission.csv").unlink()
    separator = "\t" if "\t" in content else ";" if ";" in content else ","
    rows = [("primary", name) if content.startswith("tags") else (f"{name}.jpg", "primary") for name in NAMES]
    text = content.format("".join(separator.join(row) + "\n" for row in rows))
    (inner / names).write_bytes(text.encode("utf-16" if "\t" in text else "utf-8"))
    (inner / "test-jpg").rename(inner / "chips")
    (inner / "test-jpg").mkdir()
    (inner / "chips").rename(inner / "test-jpg/test-jpg")
    (inner / "test-jpg/test-jpg/test_0.jpg").rename(inner / "test-jpg/test-jpg/test_0.JPEG")
    pictures, others = find_test(archive)
    assert ([picture.name for picture in pictures], others) == (NAMES, 0)
    assert pictures[1].path.name == "test_0.JPEG"


class TestRefuses:
    def test_missing_pictures_by_name(self, archive: Path) -> None:
        write_names(archive, [*NAMES, "test_7", "file_8"])
        (archive / "planet/planet/test-jpg/test_7.png").touch()
        with pytest.raises(ArchiveError, match=r"2 of the 7 .* are missing: test_7 \(test_7\.png\), file_8;"):
            find_test(archive)

    def test_names_twice(self, archive: Path) -> None:
        write_names(archive, [*NAMES, "test_1"])
        with pytest.raises(ArchiveError, match=r"names pictures more than once: test_1;"):
            find_test(archive)

    @pytest.mark.parametrize("text", ["", "name,tags\ntest_0,clear\n"])
    def test_another_table(self, text: str, archive: Path) -> None:
        (archive / "planet/planet/sample_submission.csv").write_text(text)
        with pytest.raises(ArchiveError, match=r"n\.csv( is empty|, line 1: no column 'image_name')"):
            find_test(archive)

    def test_a_table_without_rows(self, archive: Path) -> None:
        write_names(archive, [])
        with pytest.raises(ArchiveError, match="names no picture"):
            find_test(archive)

    def test_an_archive_without_the_additional_pictures(self, archive: Path) -> None:
        (archive / "test-jpg-additional").rename(archive / "elsewhere")
        with pytest.raises(ArchiveError, match=r"no pictures in any of: .*archive/test-jpg-additional"):
            find_test(archive)

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"no sample_submission\.csv or .* beside test-jpg/ in any of"):
            find_test(tmp_path)

    def test_no_dataset(self, tmp_path: Path) -> None:
        assert "make submission DATASET_PATH=" in run(tmp_path, "submission", code=1)
