from pathlib import Path

import pytest

from planets.system import atomic_write


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
