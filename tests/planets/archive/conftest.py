from pathlib import Path

import pytest
from support.archives import lay_out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "data")
