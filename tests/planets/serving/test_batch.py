"""`predict`: the command in a process of its own, and what an interrupted run leaves and takes up."""

import shutil
from pathlib import Path

import pytest
from support.synthetic import jpeg, make_labels, make_pixels, write_chips
from support.using import run, table

from planets.chips import ArchiveError
from planets.serving import PredictionError
from planets.serving.batch import ResumeLog, Row, predict_all
from planets.serving.pictures import find_pictures
from planets.serving.predictor import Predictor
from planets.synthetic.labels import LABELS

COUNT = 9
JOB = {"bundle": "b", "runtime": "onnx", "images": "i"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Pictures in two folders, one that is broken, one that is empty, and a file that is no picture."""
    folder = tmp_path / "images"
    write_chips(folder, make_pixels(make_labels(COUNT - 1)))
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "one.JPEG").write_bytes(jpeg(make_pixels(make_labels(1))[0]))
    (folder / "broken.jpg").write_bytes((folder / "train_0.jpg").read_bytes()[:500])
    (folder / "deep" / "empty.jpg").touch()
    (folder / "notes.txt").write_text("not a picture")
    (folder / "train_0.png").write_text("a picture of another format")
    return folder


def test_writes_a_row_for_each_picture_and_lists_those_that_cannot_be_read(
    images: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    printed = run(tmp_path, "predict", "images", "--bundle", bundle_folder, "--out", "made/p.csv")
    rows = table(tmp_path / "made" / "p.csv")
    names = ["deep/er/one", *(f"train_{number}" for number in range(COUNT - 1))]
    assert [row["image_name"] for row in rows] == names
    assert list(rows[0]) == ["image_name", "tags", *LABELS]
    paths = [images / "deep" / "er" / "one.JPEG", *(images / f"{name}.jpg" for name in names[1:])]
    for row, wanted in zip(rows, Predictor(bundle_folder).predict(paths), strict=True):
        assert row["tags"] == " ".join(wanted.tags)
        assert all(
            float(row[label]) == pytest.approx(wanted.probabilities[label], abs=2e-6) for label in LABELS
        )
    faults = {row["image_name"]: row["why"] for row in table(tmp_path / "made" / "p.unreadable.csv")}
    assert list(faults) == ["broken", "deep/empty"]
    assert "cannot be decoded" in faults["broken"]
    assert "is empty" in faults["deep/empty"]
    assert "11 pictures in images, 2 other files (1 .png, 1 .txt)" in printed
    assert "11 of 11" in printed
    assert "2 unreadable pictures in all, listed in made/p.unreadable.csv" in printed
    assert "9 predictions by tiny in made/p.csv" in printed
    assert sorted(file.name for file in (tmp_path / "made").iterdir()) == ["p.csv", "p.unreadable.csv"]


class Interrupt(Exception):
    pass


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch, bundle_folder: Path) -> Predictor:
    predictor = Predictor(bundle_folder)
    info = predictor.bundle.info.model_copy(update={"batch_size": 2})
    monkeypatch.setattr(predictor, "bundle", type(predictor.bundle)(info, predictor.bundle.members))
    return predictor


def interrupted(predictor: Predictor, images: Path, file: Path, after: int) -> None:
    """Predict so many blocks of two, then break off in the middle of a line, as a killed process does."""
    seen = []

    def progress(count: int) -> None:
        seen.append(count)
        if len(seen) == after:
            raise Interrupt

    with ResumeLog(file, JOB) as log, pytest.raises(Interrupt):
        predict_all(predictor.bundle, find_pictures(images)[0], log, progress)
    with file.open("a") as stream:
        stream.write('["train_5", [1')


def test_resumes_with_the_same_rows(images: Path, small_blocks: Predictor, tmp_path: Path) -> None:
    bundle, (pictures, _) = small_blocks.bundle, find_pictures(images)
    with ResumeLog(tmp_path / "whole", JOB) as log:
        predict_all(bundle, pictures, log, lambda count: None)
        whole = [log.row(picture) for picture in pictures if picture in log]
    interrupted(small_blocks, images, tmp_path / "part", after=3)
    counts: list[int] = []
    with ResumeLog(tmp_path / "part", JOB) as log:
        assert len(log) == 4  # of the first six pictures two cannot be read
        unreadable = predict_all(bundle, pictures, log, counts.append)
        assert [log.row(picture) for picture in pictures if picture in log] == whole
    assert sum(counts) == len(pictures) - 4
    assert [each.picture.name for each in unreadable] == ["broken", "deep/empty"]


def test_a_picture_that_has_changed_is_done_again(
    images: Path, small_blocks: Predictor, tmp_path: Path
) -> None:
    interrupted(small_blocks, images, tmp_path / "part", after=5)
    (images / "train_0.jpg").write_bytes(jpeg(make_pixels(make_labels(1), seed=5)[0]))
    with ResumeLog(tmp_path / "part", JOB) as log:
        missing = [picture.name for picture in find_pictures(images)[0] if picture not in log]
    assert missing == ["broken", "deep/empty", "train_0", "train_7"]


def test_rows_of_another_bundle_are_discarded(tmp_path: Path) -> None:
    with ResumeLog(tmp_path / "part", JOB) as log:
        log.add([Row("a", (1, 2), ["clear"], [0.5])])
    with ResumeLog(tmp_path / "part", JOB | {"bundle": "other"}) as log:
        assert (len(log), log.discarded) == (0, ("bundle",))
    with ResumeLog(tmp_path / "part", JOB | {"bundle": "other"}) as log:
        assert log.discarded == ()


def test_the_command_names_a_discarded_run(images: Path, bundle_folder: Path, tmp_path: Path) -> None:
    left = tmp_path / "p.unfinished.jsonl"
    with ResumeLog(left, JOB) as log:
        log.add([Row("a", (1, 2), ["clear"], [0.5])])
    printed = run(tmp_path, "predict", "images", "--bundle", bundle_folder, "--out", "p.csv")
    assert "discarded an unfinished run with another bundle and images" in printed
    assert not left.exists()


class TestRefuses:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "name a folder of pictures: make predict IMAGES="),
            (["nowhere"], "nowhere does not exist"),
            (["images/train_0.jpg"], "is a file; name a folder"),
            (["none"], "none holds 0 files, none of them a picture"),
            (
                ["scans"],
                "scans holds 2 files (2 .png), none of them a picture; pictures end with .jpg or .jpeg",
            ),
            (["images", "--bundle", "nowhere"], "no model in nowhere: make one with `make train.pipeline`"),
            (["images", "--out", "images"], "images is a folder; name a file in it"),
            (["images", "--runtime", "tflite"], "no runtime 'tflite'; the runtimes are: onnx, torch"),
        ],
    )
    def test_invalid_arguments(
        self, words: list[str], message: str, images: Path, bundle_folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "none").mkdir()
        (tmp_path / "scans").mkdir()
        for name in ("1.png", "2.PNG"):
            (tmp_path / "scans" / name).touch()
        bundle = [] if "--bundle" in words else ["--bundle", bundle_folder]
        printed = run(tmp_path, "predict", *words, *bundle, code=1)
        assert printed.startswith("error: ")
        assert message in printed

    def test_two_pictures_of_one_name(self, images: Path) -> None:
        shutil.copy(images / "train_1.jpg", images / "train_1.jpeg")
        with pytest.raises(ArchiveError, match="would both be 'train_1'"):
            find_pictures(images)

    def test_a_second_process_on_the_same_table(self, tmp_path: Path) -> None:
        with (
            ResumeLog(tmp_path / "part", JOB),
            pytest.raises(PredictionError, match=r"another process writes .*part"),
        ):
            ResumeLog(tmp_path / "part", JOB)

    def test_a_file_that_is_no_log(self, tmp_path: Path) -> None:
        (tmp_path / "part").write_text("precious\n")
        with pytest.raises(PredictionError, match="is not a log of unfinished predictions"):
            ResumeLog(tmp_path / "part", JOB)
        assert (tmp_path / "part").read_text() == "precious\n"
