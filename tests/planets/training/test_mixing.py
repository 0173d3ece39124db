import numpy as np
import pytest
import torch

from planets.training.mixing import Mix, draw_mix, mix_batch


def batch(size: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
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
    images, targets = batch()
    mixed, shares = mix_batch(images, targets, Mix(0.75, None))
    assert mixed[0].unique().item() == pytest.approx(0.75 * 0 + 0.25 * 3)
    torch.testing.assert_close(shares[0], torch.tensor([0.75, 0, 0, 0.25]))


def test_cutmix_shares_are_those_of_the_pixels() -> None:
    images, targets = batch()
    mixed, shares = mix_batch(images, targets, Mix(0.0, (0.0, 0.2, 0.5, 0.7)))
    assert (mixed[0] == 3).float().mean().item() == pytest.approx(0.25)
    torch.testing.assert_close(shares[0], torch.tensor([0.75, 0, 0, 0.25]))
    assert mixed[0, 0, 0, 4].item() == 3
    assert mixed[0, 0, 0, 3].item() == mixed[0, 0, 10, 4].item() == 0


def test_what_is_given_stays_as_it_is() -> None:
    images, targets = batch()
    for mix in (Mix(0.5, None), Mix(0.5, (0, 0, 1, 1))):
        mix_batch(images, targets, mix)
        torch.testing.assert_close((images, targets), batch())
