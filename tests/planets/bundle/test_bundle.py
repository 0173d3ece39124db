import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from support.bundles import PARTS, PLAIN, SIZES, TARGETS, WHOLE, Made, make
from support.synthetic import jpeg

from planets.bundle import BundleError
from planets.bundle.bundle import Bundle
from planets.bundle.manifest import MemberInfo
from planets.chips import ArchiveError
from planets.config.project import EvaluationSettings
from planets.metrics.f2 import f2_score
from planets.synthetic.labels import LABELS, PLANETS


@pytest.fixture(scope="module")
def made(files: list[tuple[str, Path]]) -> Made:
    return make(files, {"tiny": 32}, PLAIN)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    made[0].save(tmp_path / "best")
    return tmp_path / "best"


def edit(folder: Path, **changes: object) -> None:
    file = folder / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_part(folder: Path, part: str, **changes: object) -> None:
    """Change the decision, or the first member."""
    whole = json.loads((folder / "bundle.json").read_text())
    (whole[part][0] if isinstance(whole[part], list) else whole[part]).update(changes)
    edit(folder, **whole)


@pytest.mark.parametrize("settings", [PLAIN, WHOLE], ids=["thresholds", "everything"])
@pytest.mark.parametrize("sizes", [{"tiny": 32}, SIZES], ids=["one", "two sizes"])
def test_gives_exactly_the_f2_that_was_reported(
    sizes: dict[str, int],
    settings: EvaluationSettings,
    files: list[tuple[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if len(sizes) > 1:
        monkeypatch.setattr(
            "planets.evaluation.evaluation.ensemble_weights", lambda targets, scores: (0.35, 0.65)
        )
    made, found, _ = make(files, sizes, settings)
    made.save(tmp_path)
    bundle = Bundle.load(tmp_path)
    assert len(bundle.members) == len(sizes)
    rows = np.flatnonzero(PARTS == "test")
    probabilities, tags = bundle.predict([files[row][1] for row in rows])
    np.testing.assert_array_equal(probabilities, found.test.scores)
    predictions = np.stack([PLANETS.to_vector(each) for each in tags])
    assert f2_score(TARGETS[rows], predictions) == bundle.info.scores["test_f2"] == found.report["test"]["f2"]


def test_keeps_everything(folder: Path, made: Made) -> None:
    bundle = Bundle.load(folder)
    assert bundle.info == made[0].info
    assert bundle.info.labels == LABELS
    assert bundle.metrics == made[1].report
    assert {"numpy", "onnxruntime", "pillow", "torch"} <= set(bundle.info.libraries)
    assert bundle.info.decision == made[1].decision
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "bundle.json",
        "members/tiny.onnx",
        "members/tiny.safetensors",
        "metrics.json",
    ]


def test_takes_bytes_and_paths(folder: Path, made: Made) -> None:
    files = [path for _, path in made[2][:3]]
    bundle = Bundle.load(folder)
    from_paths, tags = bundle.predict(files)
    from_bytes, again = bundle.predict([file.read_bytes() for file in files])
    np.testing.assert_array_equal(from_paths, from_bytes)
    assert tags == again
    assert bundle.predict([])[1] == []


def with_decision(bundle: Bundle, **changes: object) -> Bundle:
    decision = bundle.info.decision.model_copy(update=changes)
    return dataclasses.replace(bundle, info=bundle.info.model_copy(update={"decision": decision}))


def test_reads_tags_by_its_own_order_of_labels(made: Made) -> None:
    bundle, found, _ = made
    thresholds = bundle.info.decision.thresholds
    assert thresholds is not None
    other = with_decision(bundle, labels=LABELS[::-1], thresholds=thresholds[::-1])
    straight, reversed_ = bundle.tags(found.test.scores), other.tags(found.test.scores[:, ::-1])
    assert [set(tags) for tags in straight] == [set(tags) for tags in reversed_]
    assert any(straight)
    # The same scores read in the wrong order say something else: the order is used.
    assert other.tags(found.test.scores) != straight


def test_uses_its_thresholds(made: Made) -> None:
    scores = np.full((1, 17), 0.29, dtype=np.float32)
    scores[0, 4] = 0.31
    assert with_decision(made[0], thresholds=(0.3,) * 17).tags(scores) == [["primary"]]


def test_four_components_and_three_give_the_same_tags(made: Made) -> None:
    smooth = np.full((64, 64, 3), (90, 120, 60), dtype=np.uint8)
    scores, _ = made[0].predict([jpeg(smooth, "RGB"), jpeg(smooth, "CMYK")])
    np.testing.assert_allclose(scores[0], scores[1], atol=0.02)


def test_another_runtime_can_run_its_networks(folder: Path, made: Made) -> None:
    """What reads a network is given the bundle's folder, what it is, and how many labels it has."""

    class Constant:
        def __init__(self, folder: Path, info: MemberInfo, labels: int) -> None:
            self.file, self.info, self.labels = folder / info.file, info, labels

        def scores(self, pixels: np.ndarray, tta: bool, batch_size: int) -> np.ndarray:
            return np.full((len(pixels), self.labels), 0.5, dtype=np.float32)

        def save(self, folder: Path) -> None:
            raise NotImplementedError

    bundle = Bundle.load(folder, Constant)
    scores, _ = bundle.predict([made[2][0][1]])
    assert (scores == 0.5).all()
    assert bundle.members[0].file == folder / "members" / "tiny.safetensors"


class TestRefuses:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
            Bundle.load(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        "name", ["bundle.json", "metrics.json", "members/tiny.safetensors", "members/tiny.onnx"]
    )
    def test_a_missing_file(self, name: str, folder: Path) -> None:
        (folder / name).unlink()
        with pytest.raises(BundleError, match=name):
            Bundle.load(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"surprise": 1}, "surprise"),
            ({"format": 2}, "a bundle of format 2, this version reads format 3"),
            ({"members": []}, "members"),
            ({"decoder": "opencv"}, "decoder: it has 'opencv'"),
            ({"resizer": "nearest"}, "resizer: it has 'nearest'"),
        ],
    )
    def test_what_does_not_fit(self, changes: dict[str, object], message: str, folder: Path) -> None:
        edit(folder, **changes)
        with pytest.raises(BundleError, match=message):
            Bundle.load(folder)

    @pytest.mark.parametrize(
        ("part", "changes", "message"),
        [
            ("decision", {"labels": list(LABELS[:16])}, "as many thresholds"),
            ("decision", {"labels": ["clear"] * 17}, "distinct labels"),
            ("decision", {"thresholds": [-0.5] * 17}, r"decision\.thresholds\.0"),
            ("decision", {"shares": [0.5, 0.5]}, "1 members need as many shares"),
            ("members", {"architecture": "test_efficientnet"}, "do not fit test_efficientnet"),
            ("members", {"architecture": "nonsense"}, "do not fit nonsense"),
            ("members", {"name": "../elsewhere"}, r"members\.0\.name"),
        ],
    )
    def test_a_part_that_does_not_fit(
        self, part: str, changes: dict[str, object], message: str, folder: Path
    ) -> None:
        edit_part(folder, part, **changes)
        with pytest.raises(BundleError, match=message):
            Bundle.load(folder)

    def test_a_bundle_with_the_old_spelling_of_license_is_read(self, folder: Path) -> None:
        file = folder / "bundle.json"
        written = file.read_text()
        assert '"license"' in written
        file.write_text(written.replace('"license"', '"licence"'))
        assert Bundle.load(folder).info.members[0].license == "none"

    @pytest.mark.parametrize("rule", [False, True])
    def test_a_bundle_without_a_label_set_has_the_labels_of_the_planets_dataset(
        self, rule: bool, folder: Path
    ) -> None:
        file = folder / "bundle.json"
        stored = json.loads(file.read_text())
        del stored["label_set"], stored["decision"]["groups"]
        stored["decision"]["weather_rule"] = rule
        file.write_text(json.dumps(stored))
        info = Bundle.load(folder).info
        assert info.label_set == PLANETS
        assert info.decision.groups == (PLANETS.groups if rule else ())

    @pytest.mark.parametrize(
        "earlier", [{"calibration": {"slopes": [1.0], "intercepts": [0.0]}}, {"thresholds": None}]
    )
    def test_a_decision_with_a_part_that_was_removed_is_refused(
        self, earlier: dict[str, object], folder: Path
    ) -> None:
        edit_part(folder, "decision", calibration=None)
        Bundle.load(folder)
        edit_part(folder, "decision", **earlier)
        with pytest.raises(BundleError, match="predict with the version that made it"):
            Bundle.load(folder)

    def test_labels_that_differ_from_those_of_the_label_set(self, folder: Path) -> None:
        edit_part(folder, "label_set", labels=[*LABELS[::-1]])
        with pytest.raises(BundleError, match="the labels of `label_set`, in their order"):
            Bundle.load(folder)

    def test_weights_of_another_bundle(self, folder: Path) -> None:
        state = load_file(folder / "members" / "tiny.safetensors")
        changed = {key: value + 1 for key, value in state.items()}
        save_file(changed, folder / "members" / "tiny.safetensors")
        with pytest.raises(BundleError, match="not the file"):
            Bundle.load(folder)

    def test_text_that_is_no_json(self, folder: Path) -> None:
        (folder / "bundle.json").write_text("{")
        with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
            Bundle.load(folder)

    def test_chips_of_another_size(self, made: Made) -> None:
        with pytest.raises(BundleError, match="32x32"):
            made[0].probabilities({32: np.zeros((2, 16, 16, 3), dtype=np.uint8)})
        with pytest.raises(BundleError, match="32x32"):
            made[0].probabilities({16: np.zeros((2, 16, 16, 3), dtype=np.uint8)})

    def test_a_broken_chip_by_name(self, made: Made, tmp_path: Path) -> None:
        (tmp_path / "broken.jpg").write_bytes(b"broken")
        for name in ("broken.jpg", "missing.jpg"):
            with pytest.raises(ArchiveError, match=name):
                made[0].predict([tmp_path / name])


def test_loads_in_a_fresh_process_without_training_code_or_network(folder: Path, made: Made) -> None:
    script = (
        "import sys, pathlib; from planets.bundle.bundle import Bundle;"
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


def test_all_but_the_networks_needs_no_torch(folder: Path) -> None:
    script = (
        "import sys, pathlib; from planets.bundle.bundle import Bundle;"
        f"bundle = Bundle.load(pathlib.Path({str(folder)!r}), lambda file, info, labels: None);"
        "print([name for name in ('torch', 'timm', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
