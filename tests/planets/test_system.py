from pathlib import Path

import pytest

from planets.system import atomic_write, thread_count


def test_replaces_the_file_when_the_block_succeeds(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")
    with atomic_write(file) as partial:
        partial.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_keeps_the_file_when_the_block_fails(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(file) as partial:
        partial.write_text(f"half {1 / 0}")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("share", "threads"),
    [(None, 3), ("1", 1), ("2,1", 2), ("64", 3), ("0", 3), ("many", 3)],
)
def test_threads_are_the_share_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, share: str | None, threads: int
) -> None:
    monkeypatch.setattr("planets.system.usable_cores", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if share is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert thread_count() == threads
