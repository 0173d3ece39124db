import hashlib
import io
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from planets.chips import ArchiveError
from planets.chips.jpeg import decode, resize
from planets.chips.store import ChipStore
from planets.system import DiskFull


def jpeg(color: tuple[int, ...], mode: str = "RGB", size: tuple[int, int] = (16, 16)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, color if len(color) > 1 else color[0]).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_chips(folder: Path, count: int, size: int = 16) -> list[tuple[str, Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(count):
        path = folder / f"train_{number}.jpg"
        path.write_bytes(jpeg((number * 7 % 256, 100, 50), size=(size, size)))
        files.append((path.stem, path))
    return files


class TestDecode:
    def test_rgb(self) -> None:
        chip = decode(jpeg((200, 100, 50), size=(20, 10)))
        assert chip.shape == (10, 20, 3)
        assert chip.dtype == np.uint8
        np.testing.assert_allclose(chip.mean((0, 1)), [200, 100, 50], atol=3)

    def test_four_components_with_no_black_are_255_minus_cmy(self) -> None:
        chip = decode(jpeg((55, 155, 205, 0), "CMYK"))
        np.testing.assert_allclose(chip.mean((0, 1)), [200, 100, 50], atol=3)

    def test_grey_has_three_equal_channels(self) -> None:
        chip = decode(jpeg((77,), "L"))
        assert chip.shape == (16, 16, 3)
        np.testing.assert_allclose(chip, 77, atol=2)

    def test_truncated(self) -> None:
        whole = jpeg((1, 2, 3), size=(64, 64))
        with pytest.raises(ArchiveError, match="cannot be decoded"):
            decode(whole[: len(whole) - 40])

    @pytest.mark.parametrize(("data", "message"), [(b"", "is empty"), (b"no picture at all", "not a JPEG")])
    def test_no_picture(self, data: bytes, message: str) -> None:
        with pytest.raises(ArchiveError, match=message):
            decode(data)


class TestResize:
    def test_averages_what_is_made_smaller(self) -> None:
        stripes = np.zeros((64, 64, 3), dtype=np.uint8)
        stripes[::2] = 200
        small = resize(stripes, 16)
        assert small.shape == (16, 16, 3)
        assert small.dtype == np.uint8
        np.testing.assert_allclose(small[2:-2].astype(int), 100, atol=2)

    def test_same_size_is_the_same_chip(self) -> None:
        chip = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        np.testing.assert_array_equal(resize(chip, 8), chip)


class TestChipStore:
    def test_holds_what_decode_and_resize_give(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 3, size=32)
        store = ChipStore.open(tmp_path / "cache", "hash", 16, files)
        assert store.names == ("train_0", "train_1", "train_2")
        assert store.size == 16
        assert store.pixels.dtype == np.uint8
        assert store.pixels.shape == (3, 16, 16, 3)
        for (_, path), chip in zip(files, store.pixels, strict=True):
            np.testing.assert_array_equal(chip, resize(decode(path.read_bytes()), 16))

    def test_keeps_the_order_given(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 12)
        store = ChipStore.open(tmp_path / "cache", "hash", 16, files)
        other = ChipStore.open(tmp_path / "cache", "hash", 16, files[::-1], threads=1)
        assert store.names == other.names[::-1] == tuple(name for name, _ in files)
        np.testing.assert_array_equal(store.pixels, other.pixels[::-1])

    def test_is_built_once(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 3)
        before = ChipStore.open(tmp_path / "cache", "hash", 16, files)
        shutil.rmtree(tmp_path / "chips")
        after = ChipStore.open(tmp_path / "cache", "hash", 16, files)
        np.testing.assert_array_equal(before.pixels, after.pixels)

    def test_another_dataset_size_or_choice_of_chips_is_another_store(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 3)
        sizes = [
            ChipStore.open(tmp_path / "cache", "hash", 16, files).pixels.shape,
            ChipStore.open(tmp_path / "cache", "hash", 8, files).pixels.shape,
            ChipStore.open(tmp_path / "cache", "other", 16, files[:2]).pixels.shape,
            ChipStore.open(tmp_path / "cache", "hash", 16, files[:1]).pixels.shape,
        ]
        assert sizes == [(3, 16, 16, 3), (3, 8, 8, 3), (2, 16, 16, 3), (1, 16, 16, 3)]

    def test_a_store_that_grows_opens_only_new_files(self, tmp_path: Path) -> None:
        files, cache = write_chips(tmp_path / "chips", 6), tmp_path / "cache"
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for _, path in files]
        first = ChipStore.open(cache, "first", 16, files[:4], digests=lambda: digests[:4])
        for _, path in files[:4]:
            path.unlink()
        renamed = [("train_10", files[1][1]), *files[2:]]  # train_0 is gone, train_1 has another name
        grown = ChipStore.open(cache, "grown", 16, renamed, digests=lambda: digests[1:])
        assert grown.names == ("train_10", "train_2", "train_3", "train_4", "train_5")
        np.testing.assert_array_equal(grown.pixels[:3], first.pixels[1:])
        np.testing.assert_array_equal(grown.pixels[4], decode(files[5][1].read_bytes()))

    def test_a_changed_file_another_size_or_other_code_is_decoded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files, cache = write_chips(tmp_path / "chips", 2), tmp_path / "cache"
        ChipStore.open(cache, "first", 16, files, digests=lambda: ["a", "b"])
        files[1][1].write_bytes(jpeg((9, 9, 200)))
        changed = ChipStore.open(cache, "changed", 16, files, digests=lambda: ["a", "c"])
        np.testing.assert_array_equal(changed.pixels[1], decode(files[1][1].read_bytes()))
        files[0][1].unlink()
        with pytest.raises(ArchiveError, match="train_0"):
            ChipStore.open(cache, "changed", 8, files, digests=lambda: ["a", "c"])
        monkeypatch.setattr("planets.chips.store._CODE", ["another decoder", "resizer"])
        with pytest.raises(ArchiveError, match="train_0"):
            ChipStore.open(cache, "changed", 16, files, digests=lambda: ["a", "c"])

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        store = ChipStore.open(tmp_path, "hash", 16, write_chips(tmp_path / "chips", 2))
        with pytest.raises(ValueError, match="read-only"):
            store.pixels[0] = 0

    def test_progress(self, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        files = write_chips(tmp_path / "chips", 300, size=8)
        ChipStore.open(tmp_path, "hash", 8, files, progress=lambda done, total: seen.append((done, total)))
        assert seen == [(256, 300), (300, 300)]

    def test_a_broken_chip_is_named_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 3)
        files[1][1].write_bytes(b"broken")
        with pytest.raises(ArchiveError, match=r"train_1.*not a JPEG"):
            ChipStore.open(tmp_path / "cache", "hash", 16, files)
        assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []

    def test_a_missing_chip_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match="train_7"):
            ChipStore.open(tmp_path, "hash", 16, [("train_7", tmp_path / "train_7.jpg")])

    def test_names_must_be_unique_and_some(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 1)
        with pytest.raises(ArchiveError, match="share a name"):
            ChipStore.open(tmp_path, "hash", 16, files * 2)
        with pytest.raises(ArchiveError, match="no chips"):
            ChipStore.open(tmp_path, "hash", 16, [])

    def test_many_openers_build_one_store(self, tmp_path: Path) -> None:
        files = write_chips(tmp_path / "chips", 40)
        builds: list[int] = []
        openers = [
            threading.Thread(
                target=ChipStore.open,
                args=(tmp_path / "cache", "hash", 16, files),
                kwargs={"progress": lambda done, _: builds.append(done)},
            )
            for _ in range(4)
        ]
        for opener in openers:
            opener.start()
        for opener in openers:
            opener.join()
        assert builds == [40]

    def test_what_a_killed_process_left_is_not_used(self, tmp_path: Path) -> None:
        files, cache = write_chips(tmp_path / "chips", 600), tmp_path / "cache"
        command = [sys.executable, "-c", BUILD_HALF, str(cache), *(str(path) for _, path in files)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "half\n"
            assert list(cache.glob("*.part"))
            victim.kill()
        store = ChipStore.open(cache, "hash", 16, files)
        assert store.pixels.shape[0] == len(store.names) == 600
        np.testing.assert_array_equal(store.pixels[-1], decode(files[-1][1].read_bytes()))
        assert not list(cache.glob("*.part"))

    def test_a_full_disk_names_the_stores_that_may_be_deleted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files, cache = write_chips(tmp_path / "chips", 3), tmp_path / "cache"
        ChipStore.open(cache, "hash", 32, files)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
        ChipStore.open(cache, "hash", 32, files)  # a store that exists needs no space
        with pytest.raises(DiskFull) as raised:
            ChipStore.open(cache, "hash", 16, files)
        assert f"(3 at 16 px) need 2 kB in {cache}, where 0 kB are free" in str(raised.value)
        assert f"take 9 kB and may be deleted while no training runs (rm -r {cache}/chips-*)" in str(
            raised.value
        )
        assert not list(cache.glob("chips-*-16px"))

    def test_goes_to_another_process_without_its_pixels(self, tmp_path: Path) -> None:
        store = ChipStore.open(tmp_path / "cache", "x", 64, write_chips(tmp_path / "chips", 20, size=64))
        sent = pickle.dumps(store)
        assert len(sent) < 4000
        again = pickle.loads(sent)
        assert again.names == store.names
        np.testing.assert_array_equal(again.pixels[5], store.pixels[5])


BUILD_HALF = """
import pathlib, sys, threading
from planets.chips.store import ChipStore

def stop(done, total):
    print("half", flush=True)
    threading.Event().wait()

files = [(pathlib.Path(path).stem, pathlib.Path(path)) for path in sys.argv[2:]]
ChipStore.open(pathlib.Path(sys.argv[1]), "hash", 16, files, progress=stop)
"""
