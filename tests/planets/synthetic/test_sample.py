import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from planets.archive.audit import audit
from planets.archive.table import find_archive, read_table
from planets.chips import ArchiveError
from planets.chips.jpeg import decode
from planets.labels import parse_tags
from planets.synthetic.drawing import PAINTERS, draw, encode
from planets.synthetic.label_sets import draw_label_sets, frequencies
from planets.synthetic.labels import LABELS, PLANETS, WEATHER
from planets.synthetic.sample import make_sample, plan_sample
from planets.synthetic.terrain import SIDE, texture


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def f2_of_constant(truth: NDArray[np.int64], tags: list[str]) -> float:
    """Mean over the rows of 5 tp / (4 |true| + |predicted|)."""
    predicted = PLANETS.to_vector(tags).astype(np.int64)
    return float((5 * (truth * predicted).sum(1) / (4 * truth.sum(1) + predicted.sum())).mean())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample") / "chips", chips=40, seed=1, size=64, workers=1)


class TestMakeSample:
    def test_it_is_in_the_kaggle_layout(self, sample: Path) -> None:
        assert (sample / "train_classes.csv").read_text().startswith("image_name,tags\ntrain_0,")
        assert {path.name for path in (sample / "train-jpg").iterdir()} == {
            f"train_{n}.jpg" for n in range(40)
        }

    def test_it_passes_the_audit_without_a_finding_but_its_copies(self, sample: Path) -> None:
        found = audit(find_archive(sample, PLANETS), 0)
        assert len(found.chips) == 40
        assert found.sizes == {"64x64": 40}
        assert found.stray == found.missing == found.unreadable == ()
        assert found.without_group == {"weather": ()}

    def test_it_has_copies_of_chips_under_other_names_and_equal_tags(self, sample: Path) -> None:
        found = audit(find_archive(sample, PLANETS), 0)
        tags = dict(zip(found.chips["image_name"], map(parse_tags, found.chips["tags"]), strict=True))
        assert len(found.duplicates) == 1
        assert all(len({tags[name] for name in group}) == 1 for group in found.duplicates)

    @pytest.mark.parametrize("workers", [2, 3])
    def test_the_number_of_workers_makes_no_difference(
        self, sample: Path, tmp_path: Path, workers: int
    ) -> None:
        again = make_sample(tmp_path / "again", chips=40, seed=1, size=64, workers=workers)
        assert digests(again) == digests(sample)

    def test_another_seed_is_another_sample(self, sample: Path, tmp_path: Path) -> None:
        other = make_sample(tmp_path / "other", chips=40, seed=2, size=64, workers=1)
        assert not set(digests(other).values()) & set(digests(sample).values())

    def test_chips_are_of_the_real_size_unless_told(self, tmp_path: Path) -> None:
        make_sample(tmp_path / "one", chips=1, seed=0)
        with Image.open(tmp_path / "one/train-jpg/train_0.jpg") as picture:
            assert picture.size == (256, 256)

    def test_progress_is_reported_chip_by_chip(self, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        make_sample(tmp_path / "new", chips=3, seed=0, size=8, progress=lambda *done: seen.append(done))
        assert seen == [(1, 3), (2, 3), (3, 3)]

    def test_a_sample_that_is_interrupted_leaves_nothing(self, tmp_path: Path) -> None:
        def stop(done: int, chips: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_sample(tmp_path / "new", chips=3, seed=0, size=8, progress=stop)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_holds_something_is_left_alone(self, sample: Path) -> None:
        before = digests(sample)
        with pytest.raises(ArchiveError, match="exists already; name a new or an empty folder"):
            make_sample(sample, chips=1, seed=0)
        assert digests(sample) == before

    @pytest.mark.parametrize(("chips", "size"), [(0, 64), (-1, 64), (3, 0)])
    def test_a_sample_of_nothing_is_refused(self, tmp_path: Path, chips: int, size: int) -> None:
        with pytest.raises(ValueError, match=f"not {chips} of {size}"):
            make_sample(tmp_path / "new", chips=chips, seed=0, size=size)
        assert list(tmp_path.iterdir()) == []


class TestPlan:
    def test_the_table_is_the_plan(self, sample: Path) -> None:
        plan = plan_sample(40, 1)
        table = read_table(sample / "train_classes.csv", PLANETS)
        assert [(name, parse_tags(tags)) for name, tags in table.itertuples(index=False)] == [
            (drawing.name, drawing.tags) for drawing in plan
        ]

    @pytest.mark.parametrize(("chips", "copies"), [(1, 0), (2, 1), (30, 1), (3000, 10)])
    def test_one_chip_in_300_is_a_copy(self, chips: int, copies: int) -> None:
        pictures = Counter(drawing.picture for drawing in plan_sample(chips, 4))
        assert sum(count - 1 for count in pictures.values()) <= copies
        assert chips < 30 or sum(count - 1 for count in pictures.values()) == copies

    def test_a_copy_has_the_tags_of_its_original(self) -> None:
        plan = plan_sample(3000, 0)
        assert all(drawing.tags == plan[drawing.picture].tags for drawing in plan)


class TestLabelSets:
    def test_the_table_is_that_of_the_real_rows(self) -> None:
        real = frequencies()
        assert (len(real.sets), int(real.counts.sum())) == (411, 40479)
        marginals = np.stack([PLANETS.to_vector(tags) for tags in real.sets]).T @ real.counts
        assert dict(zip(LABELS, marginals.tolist(), strict=True)) == {
            "primary": 37513, "clear": 28431, "agriculture": 12315, "road": 8071, "water": 7411,
            "partly_cloudy": 7261, "cultivation": 4477, "habitation": 3660, "haze": 2697, "cloudy": 2089,
            "bare_ground": 862, "selective_logging": 340, "artisinal_mine": 339, "blooming": 332,
            "slash_burn": 209, "conventional_mine": 100, "blow_down": 98,
        }  # fmt: skip

    @pytest.mark.parametrize("seed", [0, 1, 2])
    @pytest.mark.parametrize("number", [2000, 5000])
    @pytest.mark.parametrize(
        ("tags", "score"),
        [
            ("primary clear", 0.643),
            ("primary clear agriculture", 0.672),
            ("primary clear agriculture road water", 0.675),
            ("primary clear agriculture road water partly_cloudy", 0.689),
        ],
    )
    def test_constant_predictions_score_as_on_the_real_labels(
        self, tags: str, score: float, number: int, seed: int
    ) -> None:
        truth = np.stack([PLANETS.to_vector(drawn) for drawn in draw_label_sets(number, rng(seed))]).astype(
            np.int64
        )
        assert f2_of_constant(truth, tags.split()) == pytest.approx(score, abs=0.005)

    @pytest.mark.parametrize("number", [100, 1000])
    def test_each_set_comes_up_by_its_share_rounded(self, number: int) -> None:
        real, drawn = frequencies(), Counter(draw_label_sets(number, rng()))
        shares = real.counts * number / real.counts.sum()
        for tags, share in zip(real.sets, shares.tolist(), strict=True):
            assert int(share) <= drawn[tags] <= int(share) + 1

    @pytest.mark.parametrize("number", [0, 1, 7])
    def test_any_number_can_be_drawn(self, number: int) -> None:
        assert len(draw_label_sets(number, rng())) == number

    def test_equal_sets_do_not_come_in_runs(self) -> None:
        drawn = draw_label_sets(2000, rng())
        assert drawn != sorted(drawn, key=sorted)
        assert any("cloudy" in tags for tags in drawn[:200])


class TestForms:
    def test_most_chips_have_four_components_and_some_three_or_one(self, tmp_path: Path) -> None:
        folder = make_sample(tmp_path / "new", chips=100, seed=0, size=8, workers=1)
        modes = audit(find_archive(folder, PLANETS), 0).modes
        assert set(modes) == {"CMYK", "RGB", "L"}
        assert modes["CMYK"] > 80

    @pytest.fixture
    def color(self) -> Image.Image:
        return Image.new("RGB", (32, 32), (40, 120, 200))

    def test_four_components_are_as_in_the_real_chips(self, color: Image.Image) -> None:
        data = encode(color, "CMYK")
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.mode == "CMYK"
            assert "adobe" not in picture.info
            assert "progressive" not in picture.info
            assert picture.getchannel("K").getextrema() == (0, 0)

    @pytest.mark.parametrize("mode", ["CMYK", "RGB"])
    def test_the_decoder_gives_back_the_colors(self, color: Image.Image, mode: str) -> None:
        np.testing.assert_allclose(decode(encode(color, mode)).mean((0, 1)), (40, 120, 200), atol=3)

    def test_grey_chips_are_as_bright(self, color: Image.Image) -> None:
        grey = decode(encode(color, "L"))
        assert grey.shape == (32, 32, 3)
        np.testing.assert_allclose(grey.mean((0, 1)), 0.299 * 40 + 0.587 * 120 + 0.114 * 200, atol=3)


class TestDrawing:
    """What a person sees at a glance, on average over some chips: single ones are meant to be hard."""

    def look(self, *tags: str, chips: int = 12) -> NDArray[np.float64]:
        return np.stack([draw(frozenset(tags), rng(seed)) for seed in range(chips)]).astype(np.float64)

    def test_every_label_has_its_painter_or_is_weather_or_the_ground(self) -> None:
        assert {*PAINTERS, *WEATHER, "primary"} == set(LABELS)

    @pytest.mark.parametrize("label", LABELS)
    def test_every_label_can_be_drawn_and_shows(self, label: str) -> None:
        base = {"primary", "clear"} if label not in WEATHER else {"primary"}
        with_it, without = draw(frozenset(base | {label}), rng(3)), draw(frozenset({"clear"}), rng(3))
        assert with_it.shape == (SIDE, SIDE, 3)
        assert with_it.dtype == np.uint8
        assert not np.array_equal(with_it, without)

    def test_forest_is_dark_green_and_of_low_contrast(self) -> None:
        forest = self.look("clear", "primary")
        red, green, blue = forest.mean((0, 1, 2))
        assert 35 < red < green < 85
        assert blue < green
        assert forest.std((1, 2)).mean() < 9

    def test_haze_is_paler_and_flatter_than_a_clear_sky(self) -> None:
        haze, clear = self.look("haze", "primary"), self.look("clear", "primary", "road")
        assert haze.mean() > clear.mean() + 20
        assert haze.std((1, 2)).mean() < clear.std((1, 2)).mean()

    def test_clouds_are_white_and_cloudy_is_nothing_else(self) -> None:
        cloudy, partly = self.look("cloudy"), self.look("partly_cloudy", "primary")
        assert cloudy.mean() > 170
        assert np.ptp(cloudy.mean((0, 1, 2))) < 12
        assert partly.std((1, 2)).mean() > 3 * cloudy.std((1, 2)).mean()

    @pytest.mark.parametrize(
        "label", ["agriculture", "bare_ground", "conventional_mine", "artisinal_mine", "habitation"]
    )
    def test_what_people_make_is_brighter_than_forest(self, label: str) -> None:
        made, forest = self.look("clear", "primary", label), self.look("clear", "primary")
        assert np.percentile(made, 99.8) > np.percentile(forest, 99.8) + 10


class TestTexture:
    @pytest.mark.parametrize("kind", ["canopy", "grass", "relief", "cloud", "edge"])
    def test_it_is_the_same_for_the_same_generator(self, kind: str) -> None:
        piece = texture(kind, rng(5))
        assert piece.shape == (SIDE, SIDE)
        assert piece.dtype == np.float32
        np.testing.assert_array_equal(piece, texture(kind, rng(5)))
        assert not np.array_equal(piece, texture(kind, rng(6)))
