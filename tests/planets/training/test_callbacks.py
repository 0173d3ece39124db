from types import SimpleNamespace

import torch
from support.synthetic import SETTINGS, make_labels, make_store

from planets.training.callbacks import EpochSeed
from planets.training.datamodule import Batches
from planets.training.distributed import Rank


def drawn(rank: int, epoch: int = 3) -> torch.Tensor:
    EpochSeed(1).on_train_epoch_start(SimpleNamespace(current_epoch=epoch, global_rank=rank), None)
    return torch.rand(4)


def test_ranks_and_epochs_draw_differently_and_a_resumed_epoch_the_same() -> None:
    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(0), drawn(1))
    assert not torch.equal(drawn(0), drawn(0, epoch=4))


def test_ranks_mix_differently_and_rank_0_as_if_alone() -> None:
    labels = make_labels(64)
    settings = SETTINGS.model_copy(update={"mixup": 0.4, "cutmix": 0.4})

    def mixes(rank: Rank) -> list[object]:
        store, rows = make_store(labels, 8), torch.arange(64).numpy()
        return [batch.mix for batch in Batches(store, labels, rows, 16, (settings, 0), rank=rank)]

    assert mixes(Rank(0, 2)) == mixes(Rank())
    assert all(one != other for one, other in zip(mixes(Rank(0, 2)), mixes(Rank(1, 2)), strict=True))
    assert mixes(Rank(1, 2)) == mixes(Rank(1, 2))
