"""Three ways to say the same: one chip at a time in numpy, a batch in torch, and the fused loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as forall
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.synthetic import SETTINGS
from torch import Tensor

from planets.training.augment import (
    Changes,
    Mix,
    augment,
    cut_size,
    denormalize,
    draw_changes,
    draw_mix,
    mix_batch,
    no_changes,
    normalize,
    train_size,
    turn,
)
from planets.training.augment_cpu import augment_fused

MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)


def chips(count: int = 40, size: int = 12, seed: int = 0) -> Tensor:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def changes(count: int = 40, size: int = 12, seed: int = 0, **settings: Any) -> Changes:
    drawn = SETTINGS.model_copy(update={"image_size": size, "jitter": 0.2} | settings)
    return draw_changes(count, drawn, np.random.default_rng(seed))


def plainly(chip: NDArray[np.uint8], size: int, change: dict[str, float]) -> NDArray[np.float64]:
    """One chip at a time, pixel by pixel, as it would be written down: the reference for every faster way."""
    width, element = len(chip), int(change["turns"])
    image = np.empty((3, size, size))
    for y in range(size):
        for x in range(size):
            v = size - 1 - y if element & 2 else y
            u = size - 1 - x if element & 1 else x
            v, u = (u, v) if element & 4 else (v, u)
            # From the image's middle, in pixels of the chip, then turned.
            dy, dx = ((each + 0.5) / size * change["side"] - change["side"] / 2 for each in (v, u))
            cos, sin = np.cos(change["angle"]), np.sin(change["angle"])
            place_y = change["top"] + change["side"] / 2 - 0.5 + cos * dy + sin * dx
            place_x = change["left"] + change["side"] / 2 - 0.5 + cos * dx - sin * dy
            image[:, y, x] = bilinear(chip, mirrored(place_y, width), mirrored(place_x, width))
    standard = (image / 255 - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    return standard * change["contrast"] + change["brightness"]


def bilinear(chip: NDArray[np.uint8], y: float, x: float) -> NDArray[np.float64]:
    i, k = int(np.floor(y)), int(np.floor(x))
    j, m = min(i + 1, len(chip) - 1), min(k + 1, len(chip) - 1)
    upper = chip[i, k] * (1 - (x - k)) + chip[i, m] * (x - k)
    lower = chip[j, k] * (1 - (x - k)) + chip[j, m] * (x - k)
    return upper * (1 - (y - i)) + lower * (y - i)


def mirrored(place: float, width: int) -> float:
    while not -0.5 <= place <= width - 0.5:
        place = -1 - place if place < 0 else 2 * width - 1 - place
    return float(np.clip(place, 0, width - 1))


def in_torch(pixels: Tensor, drawn: Changes, size: int) -> Tensor:
    return augment(pixels, torch.arange(len(pixels)), drawn, size, MEAN, STD)


def fused(pixels: Tensor, drawn: Changes, size: int) -> Tensor:
    return augment_fused(pixels.numpy(), np.arange(len(pixels)), drawn, size, MEAN, STD)


both = pytest.mark.parametrize("way", [in_torch, fused])
Way = Callable[[Tensor, Changes, int], Tensor]


@both
@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (12, {}),
        (10, {"crop": 0.2}),
        (12, {"zoom": 0.5}),
        (7, {}),
        (12, {"rotation": 40.0}),
        (8, {"rotation": 20.0, "zoom": 0.3, "crop": 0.2}),
    ],
)
def test_agrees_with_the_plain_way(way: Way, size: int, settings: dict[str, float]) -> None:
    given, drawn = chips(), changes(**settings)
    expected = [
        plainly(chip, size, {name: each[row].item() for name, each in drawn._asdict().items()})
        for row, chip in enumerate(given.numpy())
    ]
    images = way(given, drawn, size)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(images.numpy(), np.stack(expected), atol=2e-4)


@forall(st.integers(0, 2**32 - 1), st.floats(0, 0.9), st.floats(0, 45), st.integers(4, 20))
@hypothesis_settings(max_examples=25, deadline=None)
def test_both_ways_agree(seed: int, zoom: float, rotation: float, size: int) -> None:
    given, drawn = chips(9, seed=seed), changes(9, seed=seed, zoom=zoom, rotation=rotation)
    torch.testing.assert_close(fused(given, drawn, size), in_torch(given, drawn, size), atol=2e-3, rtol=0)


@both
def test_a_turn_alone_moves_pixels_and_makes_none(way: Way) -> None:
    given, drawn = chips(), changes(jitter=0.0)
    expected = normalize(turn(given, drawn.turns), MEAN, STD)
    torch.testing.assert_close(way(given, drawn, 12), expected, atol=1e-6, rtol=0)


@both
def test_without_changes_it_is_normalize(way: Way) -> None:
    given = chips()
    torch.testing.assert_close(way(given, no_changes(40, 12), 12), normalize(given, MEAN, STD))


@both
def test_takes_the_rows_that_are_asked_for(way: Way) -> None:
    given, rows = chips(), torch.tensor([7, 0, 7])
    images = (
        augment(given, rows, no_changes(3, 12), 12, MEAN, STD)
        if way is in_torch
        else augment_fused(given.numpy(), rows.numpy(), no_changes(3, 12), 12, MEAN, STD)
    )
    torch.testing.assert_close(images, normalize(given[rows], MEAN, STD))


def test_threads_and_memory_change_nothing() -> None:
    given, drawn, rows = chips(64), changes(64, zoom=0.2), np.arange(64)
    alone = augment_fused(given.numpy(), rows, drawn, 12, MEAN, STD, alone=True)
    out = np.full((70, 12, 12, 3), np.nan, dtype=np.float32)
    together = augment_fused(given.numpy(), rows, drawn, 12, MEAN, STD, out=out)
    torch.testing.assert_close(together, alone, rtol=0, atol=0)
    assert np.shares_memory(together.numpy(), out)


def test_halving_is_the_mean_of_four() -> None:
    given = chips(3)
    halves = fused(given, no_changes(3, 12), 6)
    whole = normalize(given, MEAN, STD)
    torch.testing.assert_close(halves, torch.nn.functional.avg_pool2d(whole, 2), atol=1e-5, rtol=1e-5)


def test_the_eight_turns_are_the_symmetries_of_the_square() -> None:
    chip = chips(1)
    turned = turn(chip.expand(8, -1, -1, -1), torch.arange(8)).numpy()
    known = {np.rot90(side, times).tobytes() for side in (chip[0], chip[0].flip(0)) for times in range(4)}
    assert {each.tobytes() for each in turned} == known
    assert len(known) == 8
    np.testing.assert_array_equal(turned[0], chip[0])


def test_normalize_does_that_only() -> None:
    given = chips()
    expected = ((given.double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)
    images = normalize(given, MEAN, STD)
    torch.testing.assert_close(images, expected.float())
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(given, chips())


def test_draws_keep_to_their_ranges_and_seed() -> None:
    drawn, again = (changes(2000, crop=0.2, zoom=0.3, rotation=10.0) for _ in range(2))
    assert drawn.turns.unique().tolist() == list(range(8))
    for values, low, high in (
        (drawn.contrast, 0.8, 1.2),
        (drawn.brightness, -0.2, 0.2),
        (drawn.side, 7.0, 10.0),
        (drawn.angle.rad2deg(), -10, 10),
    ):
        margin = 0.05 * (high - low)
        assert low <= values.min() < low + margin < high - margin < values.max() <= high + 1e-5
    for begin in (drawn.top, drawn.left):
        assert begin.min() >= 0
        assert (begin + drawn.side).max() <= 12 + 1e-5
    for one, other in zip(drawn, again, strict=True):
        torch.testing.assert_close(one, other)


def test_a_crop_alone_lies_on_whole_pixels() -> None:
    drawn = changes(200, crop=0.2)
    assert drawn.top.unique().tolist() == drawn.left.unique().tolist() == [0.0, 1.0, 2.0]
    assert drawn.side.unique().tolist() == [10.0]


def test_without_anything_nothing_changes() -> None:
    drawn = changes(flips=False, jitter=0.0)
    for one, other in zip(drawn, no_changes(40, 12), strict=True):
        torch.testing.assert_close(one, other)


def test_images_grow_up_to_the_size_of_the_chips() -> None:
    settings = SETTINGS.model_copy(update={"image_size": 128, "progressive": 0.5, "epochs": 10})
    sizes = [train_size(settings, epoch) for epoch in range(10)]
    assert sizes == [64, 80, 80, 96, 112, 112, 128, 128, 128, 128]
    plain = settings.model_copy(update={"progressive": 0.0, "crop": 0.125})
    assert {train_size(plain, epoch) for epoch in range(10)} == {cut_size(plain)} == {112}


def test_images_are_not_normalized_twice() -> None:
    for wrong in (
        lambda: normalize(chips().float(), MEAN, STD),
        lambda: in_torch(chips().float(), changes(), 12),
    ):
        with pytest.raises(TypeError, match="uint8"):
            wrong()


def test_denormalize_gives_the_chips_back() -> None:
    given = chips()
    np.testing.assert_array_equal(denormalize(normalize(given, MEAN, STD), MEAN, STD), given)
    brighter = denormalize(normalize(given, MEAN, STD) + 100, MEAN, STD)
    assert (brighter == 255).all()


def pairs(size: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, size, size).contiguous()
    return images, torch.eye(4)


def test_none_without_an_alpha() -> None:
    assert draw_mix(0.0, 0.0, np.random.default_rng(0)) is None


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_draws_are_shares_and_windows(mixup: float, cutmix: float) -> None:
    random = np.random.default_rng(0)
    drawn = [draw_mix(mixup, cutmix, random) for _ in range(500)]
    assert all(0 <= mix.share <= 1 for mix in drawn)
    windows = [mix.window for mix in drawn if mix.window]
    assert len(windows) == {0.2: 0, 0.0: 500}[mixup] if not (mixup and cutmix) else 200 < len(windows) < 300
    for top, left, bottom, right in windows:
        assert 0 <= top <= bottom <= 1
        assert 0 <= left <= right <= 1


def test_mixup_is_a_mean() -> None:
    images, targets = pairs()
    mixed, shares = mix_batch(images, targets, Mix(0.75, None))
    assert mixed[0].unique().item() == pytest.approx(0.75 * 0 + 0.25 * 3)
    torch.testing.assert_close(shares[0], torch.tensor([0.75, 0, 0, 0.25]))


def test_cutmix_shares_are_those_of_the_pixels() -> None:
    images, targets = pairs()
    mixed, shares = mix_batch(images, targets, Mix(0.0, (0.0, 0.2, 0.5, 0.7)))
    assert (mixed[0] == 3).float().mean().item() == pytest.approx(0.25)
    torch.testing.assert_close(shares[0], torch.tensor([0.75, 0, 0, 0.25]))
    assert mixed[0, 0, 0, 4].item() == 3
    assert mixed[0, 0, 0, 3].item() == mixed[0, 0, 10, 4].item() == 0


def test_what_is_given_stays_as_it_is() -> None:
    images, targets = pairs()
    for mix in (Mix(0.5, None), Mix(0.5, (0, 0, 1, 1))):
        mix_batch(images, targets, mix)
        torch.testing.assert_close((images, targets), pairs())
