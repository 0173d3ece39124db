import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.synthetic import make_labels, make_pixels, write_chips

from planets.chips import ArchiveError
from planets.chips.store import ChipStore
from planets.chips.stream import StreamedPixels, ahead


def test_decodes_what_a_store_holds(tmp_path: Path) -> None:
    files = write_chips(tmp_path / "jpg", make_pixels(make_labels(20)))
    stored = ChipStore.open(tmp_path / "cache", "x", 16, files).pixels
    streamed = StreamedPixels(files, 16)
    assert streamed.shape == stored.shape
    assert len(streamed) == 20
    rows = np.array([3, 0, 3, 19])
    np.testing.assert_array_equal(streamed[rows], stored[rows])
    np.testing.assert_array_equal(streamed[np.int64(7)], stored[7])


def test_a_broken_chip_is_named(tmp_path: Path) -> None:
    files = write_chips(tmp_path, make_pixels(make_labels(3)))
    files[1][1].write_bytes(b"nothing")
    with pytest.raises(ArchiveError, match="train_1"):
        StreamedPixels(files, 16)[np.arange(3)]


def test_a_store_that_does_not_fit_is_streamed_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_chips(tmp_path / "jpg", make_pixels(make_labels(3)))
    monkeypatch.setattr("planets.chips.store.shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    store = ChipStore.open(tmp_path / "cache", "x", 16, files)
    assert isinstance(store.pixels, StreamedPixels)
    assert store.size == 16
    assert store.index(["train_2"]).tolist() == [2]
    assert "3 at 16 px" in capsys.readouterr().out
    assert not list((tmp_path / "cache").glob("chips-*px"))


class TestAhead:
    def test_keeps_the_order(self) -> None:
        assert list(ahead(range(1, 50), depth=3)) == list(range(1, 50))
        assert list(ahead([])) == []

    def test_is_ahead_and_not_far(self) -> None:
        made = []

        def items() -> Iterator[int]:
            for item in range(1, 20):
                made.append(item)
                yield item

        taken = ahead(items(), depth=2)
        next(taken)
        taken.close()
        assert made == [1, 2, 3] or made == [1, 2]

    def test_hands_errors_on(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise ArchiveError("broken")

        taken = ahead(items())
        assert next(taken) == 1
        with pytest.raises(ArchiveError, match="broken"):
            next(taken)


@pytest.mark.parametrize("mapped", [True, False])
def test_goes_to_another_process_without_its_pixels(mapped: bool, tmp_path: Path) -> None:
    files = write_chips(tmp_path / "jpg", make_pixels(make_labels(20)))
    store = ChipStore.open(tmp_path / "cache", "x", 64, files)
    if not mapped:
        store = ChipStore(store.names, StreamedPixels(files, 64))
    sent = pickle.dumps(store)
    assert len(sent) < 4000
    again = pickle.loads(sent)
    assert again.names == store.names
    np.testing.assert_array_equal(again.pixels[5], store.pixels[5])
