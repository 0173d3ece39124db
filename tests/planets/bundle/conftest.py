from pathlib import Path

import pytest
from support.bundles import TARGETS
from support.synthetic import make_pixels, write_chips


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    """The chips that are evaluated; they are scaled down on the way."""
    return write_chips(tmp_path_factory.mktemp("made") / "chips", make_pixels(TARGETS, size=64))
