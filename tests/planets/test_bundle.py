import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic import jpeg, make_labels, make_parts, make_pixels, write_chips

from planets.bundle import Bundle
from planets.chips import ChipStore
from planets.errors import ArchiveError, BundleError
from planets.evaluation import Evaluation, evaluate
from planets.fitted import Fitted
from planets.labels import LABELS, encode
from planets.metrics import f2_score
from planets.model import create

COUNT = 80
TARGETS, PARTS = make_labels(COUNT), make_parts(COUNT)
ORIGIN = {
    "name": "tiny",
    "dataset_id": "d1",
    "content_hash": "abc",
    "split_seed": 42,
    "code_version": "c0de",
    "licence": "none",
}

Made = tuple[Bundle, Evaluation, list[tuple[str, Path]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle as the evaluation makes it, and the files that it was evaluated on, scaled down on the way."""
    folder = tmp_path_factory.mktemp("made")
    files = write_chips(folder / "chips", make_pixels(TARGETS, size=64))
    store = ChipStore.open(folder / "cache", "hash", 32, files)
    torch.manual_seed(0)
    weights = create("test_resnet", 17).state_dict()
    fitted = Fitted(weights, "test_resnet", LABELS, 32, (0.3,) * 3, (0.1,) * 3, "map", 0.5, 1, [])
    found = evaluate(fitted, store, TARGETS, PARTS)
    return Bundle.of(fitted, found.thresholds, found.report, found.scores, **ORIGIN), found, files


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    made[0].save(tmp_path / "best")
    return tmp_path / "best"


def edit(folder: Path, **changes: object) -> None:
    file = folder / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_gives_exactly_the_f2_that_was_reported(folder: Path, made: Made) -> None:
    _, found, files = made
    bundle = Bundle.load(folder)
    rows = np.flatnonzero(PARTS == "test")
    scores, tags = bundle.predict([files[row][1] for row in rows])
    np.testing.assert_array_equal(scores, found.test.scores)
    predictions = np.stack([encode(each) for each in tags])
    assert f2_score(TARGETS[rows], predictions) == bundle.info.scores["test_f2"] == found.report["test"]["f2"]


def test_keeps_everything(folder: Path, made: Made) -> None:
    bundle = Bundle.load(folder)
    assert bundle.info == made[0].info
    assert bundle.info.labels == LABELS
    assert bundle.metrics == made[1].report
    assert set(bundle.info.libraries) == {"numpy", "pillow", "timm", "torch"}
    np.testing.assert_array_equal(bundle.info.thresholds, made[1].thresholds)
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json",
        "metrics.json",
        "model.safetensors",
    ]


def test_takes_bytes_and_paths(folder: Path, made: Made) -> None:
    files = [path for _, path in made[2][:3]]
    bundle = Bundle.load(folder)
    from_paths, tags = bundle.predict(files)
    from_bytes, again = bundle.predict([file.read_bytes() for file in files])
    np.testing.assert_array_equal(from_paths, from_bytes)
    assert tags == again
    assert bundle.predict([])[1] == []


def test_reads_tags_by_its_own_order_of_labels(made: Made) -> None:
    bundle, found, _ = made
    order = list(range(17))[::-1]
    info = bundle.info.model_copy(
        update={
            "labels": tuple(LABELS[i] for i in order),
            "thresholds": tuple(bundle.info.thresholds[i] for i in order),
        }
    )
    other = dataclasses.replace(bundle, info=info)
    straight, reversed_ = bundle.tags(found.test.scores), other.tags(found.test.scores[:, order])
    assert [set(tags) for tags in straight] == [set(tags) for tags in reversed_]
    assert any(straight)
    # The same scores read in the wrong order say something else: the order is used.
    assert other.tags(found.test.scores) != straight


def test_uses_its_thresholds(made: Made) -> None:
    bundle = made[0]
    info = bundle.info.model_copy(update={"thresholds": (0.3,) * 17})
    scores = np.full((1, 17), 0.29, dtype=np.float32)
    scores[0, 4] = 0.31
    assert dataclasses.replace(bundle, info=info).tags(scores) == [["primary"]]


def test_four_components_and_three_give_the_same_tags(made: Made) -> None:
    smooth = np.full((64, 64, 3), (90, 120, 60), dtype=np.uint8)
    scores, _ = made[0].predict([jpeg(smooth, "RGB"), jpeg(smooth, "CMYK")])
    np.testing.assert_allclose(scores[0], scores[1], atol=0.02)


class TestRefuses:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
            Bundle.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("name", ["bundle.json", "metrics.json", "model.safetensors"])
    def test_a_missing_file(self, name: str, folder: Path) -> None:
        (folder / name).unlink()
        with pytest.raises(BundleError, match=name):
            Bundle.load(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"labels": list(LABELS[:16])}, "distinct labels"),
            ({"labels": ["clear"] * 17}, "distinct labels"),
            ({"thresholds": [0.5] * 16}, "as many thresholds"),
            ({"thresholds": [-0.5] * 17}, r"thresholds\.0"),
            ({"surprise": 1}, "surprise"),
            ({"format": 2}, "format"),
            ({"decoder": "opencv"}, "decoder: made with 'opencv'"),
            ({"resizer": "nearest"}, "resizer: made with 'nearest'"),
            ({"architecture": "test_efficientnet"}, "do not fit test_efficientnet"),
            ({"architecture": "nonsense"}, "do not fit nonsense"),
        ],
    )
    def test_what_does_not_fit(self, changes: dict[str, object], message: str, folder: Path) -> None:
        edit(folder, **changes)
        with pytest.raises(BundleError, match=message):
            Bundle.load(folder)

    def test_weights_of_another_bundle(self, folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        save_file({key: value + 1 for key, value in state.items()}, folder / "model.safetensors")
        with pytest.raises(BundleError, match="not the file"):
            Bundle.load(folder)

    def test_text_that_is_no_json(self, folder: Path) -> None:
        (folder / "bundle.json").write_text("{")
        with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
            Bundle.load(folder)

    def test_chips_of_another_size(self, made: Made) -> None:
        with pytest.raises(BundleError, match="32x32"):
            made[0].scores(np.zeros((2, 16, 16, 3), dtype=np.uint8))

    def test_a_broken_chip_by_name(self, made: Made, tmp_path: Path) -> None:
        (tmp_path / "broken.jpg").write_bytes(b"broken")
        for name in ("broken.jpg", "missing.jpg"):
            with pytest.raises(ArchiveError, match=name):
                made[0].predict([tmp_path / name])


def test_loads_in_a_fresh_process_without_training_code_or_network(folder: Path, made: Made) -> None:
    script = (
        "import sys, pathlib; from planets.bundle import Bundle;"
        f"bundle = Bundle.load(pathlib.Path({str(folder)!r}));"
        f"_, tags = bundle.predict([pathlib.Path({str(made[2][0][1])!r})]);"
        "print(tags[0], 'lightning' in sys.modules, 'clearml' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    _, tags = made[0].predict([made[2][0][1]])
    assert done.stdout.strip() == f"{tags[0]} False False"
    assert done.stderr == ""
