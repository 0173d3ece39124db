"""`predict`: the command in a process of its own, and what an interrupted run leaves and takes up."""

import shutil
from pathlib import Path

import pytest
from support.synthetic import jpeg, make_labels, make_pixels, write_chips
from support.using import run, table

from planets.chips import ArchiveError
from planets.chips.files import find_pictures
from planets.labels import LABELS
from planets.serving import PredictionError
from planets.serving.batch import predict_all
from planets.serving.predictor import Predictor
from planets.serving.resume_log import Ledger, Row

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
    assert "11 pictures in images, 1 other files" in printed
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

    with Ledger(file, JOB) as ledger, pytest.raises(Interrupt):
        predict_all(predictor.bundle, find_pictures(images)[0], ledger, progress)
    with file.open("a") as stream:
        stream.write('["train_5", [1')


def test_goes_on_where_it_was_interrupted_and_says_the_same(
    images: Path, small_blocks: Predictor, tmp_path: Path
) -> None:
    bundle, (pictures, _) = small_blocks.bundle, find_pictures(images)
    with Ledger(tmp_path / "whole", JOB) as ledger:
        predict_all(bundle, pictures, ledger, lambda count: None)
        whole = [ledger.row(picture) for picture in pictures if picture in ledger]
    interrupted(small_blocks, images, tmp_path / "part", after=3)
    counts: list[int] = []
    with Ledger(tmp_path / "part", JOB) as ledger:
        assert len(ledger) == 4  # of the first six pictures two cannot be read
        unreadable = predict_all(bundle, pictures, ledger, counts.append)
        assert [ledger.row(picture) for picture in pictures if picture in ledger] == whole
    assert sum(counts) == len(pictures) - 4
    assert [each.picture.name for each in unreadable] == ["broken", "deep/empty"]


def test_a_picture_that_has_changed_is_done_again(
    images: Path, small_blocks: Predictor, tmp_path: Path
) -> None:
    interrupted(small_blocks, images, tmp_path / "part", after=5)
    (images / "train_0.jpg").write_bytes(jpeg(make_pixels(make_labels(1), seed=5)[0]))
    with Ledger(tmp_path / "part", JOB) as ledger:
        missing = [picture.name for picture in find_pictures(images)[0] if picture not in ledger]
    assert missing == ["broken", "deep/empty", "train_0", "train_7"]


def test_rows_of_another_bundle_are_given_up(tmp_path: Path) -> None:
    with Ledger(tmp_path / "part", JOB) as ledger:
        ledger.add([Row("a", (1, 2), ["clear"], [0.5])])
    with Ledger(tmp_path / "part", JOB | {"bundle": "other"}) as ledger:
        assert (len(ledger), ledger.given_up) == (0, ("bundle",))
    with Ledger(tmp_path / "part", JOB | {"bundle": "other"}) as ledger:
        assert ledger.given_up == ()


def test_the_command_tells_of_an_unfinished_run(images: Path, bundle_folder: Path, tmp_path: Path) -> None:
    left = tmp_path / "p.unfinished.jsonl"
    with Ledger(left, JOB) as ledger:
        ledger.add([Row("a", (1, 2), ["clear"], [0.5])])
    printed = run(tmp_path, "predict", "images", "--bundle", bundle_folder, "--out", "p.csv")
    assert "an unfinished run with another bundle and images is given up" in printed
    assert not left.exists()


class TestRefuses:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "no folder of pictures is named: make predict IMAGES="),
            (["nowhere"], "nowhere does not exist"),
            (["images/train_0.jpg"], "is a file; name a folder"),
            (["none"], "none holds 0 files and no picture"),
            (["images", "--bundle", "nowhere"], "no model in nowhere: make one with `make train.pipeline`"),
            (["images", "--out", "images"], "images is a folder; name a file in it"),
            (["images", "--runtime", "tflite"], "no runtime 'tflite'; the runtimes are: onnx, torch"),
        ],
    )
    def test_what_makes_no_sense(
        self, words: list[str], message: str, images: Path, bundle_folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "none").mkdir()
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
            Ledger(tmp_path / "part", JOB),
            pytest.raises(PredictionError, match=r"another process writes .*part"),
        ):
            Ledger(tmp_path / "part", JOB)

    def test_a_file_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "part").write_text("precious\n")
        with pytest.raises(PredictionError, match="was not written by this program"):
            Ledger(tmp_path / "part", JOB)
        assert (tmp_path / "part").read_text() == "precious\n"
