import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from planets.augment import Changes, augment, denormalise, draw_changes, normalise, turn

MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)


def chips(count: int = 40, size: int = 6, seed: int = 0) -> torch.Tensor:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def changes(count: int = 40, flips: bool = True, jitter: float = 0.2, seed: int = 0) -> Changes:
    return draw_changes(count, flips, jitter, np.random.default_rng(seed))


def plainly(chip: NDArray[np.uint8], element: int, contrast: float, brightness: float) -> NDArray[np.float64]:
    """One chip at a time, as it would be written down: the reference for every faster way."""
    if element & 4:
        chip = chip.transpose(1, 0, 2)
    if element & 2:
        chip = chip[::-1]
    if element & 1:
        chip = chip[:, ::-1]
    return ((chip / 255 - MEAN) / STD * contrast + brightness).transpose(2, 0, 1)


def test_agrees_with_the_plain_way() -> None:
    given, drawn = chips(), changes()
    expected = [
        plainly(chip, *(each[row].item() for each in drawn)) for row, chip in enumerate(given.numpy())
    ]
    images = augment(given, drawn, MEAN, STD)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), np.stack(expected), atol=1e-5)


def test_the_eight_turns_are_the_symmetries_of_the_square() -> None:
    chip = chips(1)
    turned = turn(chip.expand(8, -1, -1, -1), torch.arange(8)).numpy()
    known = {np.rot90(side, times).tobytes() for side in (chip[0], chip[0].flip(0)) for times in range(4)}
    assert {each.tobytes() for each in turned} == known
    assert len(known) == 8
    np.testing.assert_array_equal(turned[0], chip[0])


def test_turn_keeps_each_chip_in_its_place() -> None:
    given, drawn = chips(), changes()
    turned = turn(given, drawn.turns)
    np.testing.assert_array_equal(np.sort(turned.flatten(1)), np.sort(given.flatten(1)))


def test_normalise_does_that_only() -> None:
    given = chips()
    expected = ((given.double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)
    images = normalise(given, MEAN, STD)
    torch.testing.assert_close(images, expected.float())
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(given, chips())


def test_without_flips_and_jitter_nothing_changes() -> None:
    given = chips()
    images = augment(given, changes(flips=False, jitter=0.0), MEAN, STD)
    torch.testing.assert_close(images, normalise(given, MEAN, STD))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_draws_keep_to_their_ranges_and_seed() -> None:
    drawn, again = changes(2000), changes(2000)
    assert drawn.turns.unique().tolist() == list(range(8))
    assert 0.8 <= drawn.contrast.min() < 0.82 < 1.18 < drawn.contrast.max() <= 1.2
    assert -0.2 <= drawn.brightness.min() < -0.18 < 0.18 < drawn.brightness.max() <= 0.2
    for one, other in zip(drawn, again, strict=True):
        torch.testing.assert_close(one, other)


def test_images_are_not_normalised_twice() -> None:
    with pytest.raises(TypeError, match="uint8"):
        normalise(chips().float(), MEAN, STD)


def test_denormalise_gives_the_chips_back() -> None:
    given = chips()
    np.testing.assert_array_equal(denormalise(normalise(given, MEAN, STD), MEAN, STD), given)
    brighter = denormalise(normalise(given, MEAN, STD) + 100, MEAN, STD)
    assert (brighter == 255).all()
