from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one small network, with thresholds; only read."""
    from support.bundles import PLAIN, TARGETS, make
    from support.synthetic import make_pixels, write_chips

    folder = tmp_path_factory.mktemp("bundle")
    files = write_chips(folder / "chips", make_pixels(TARGETS, size=64))
    make(files, {"tiny": 32}, PLAIN)[0].save(folder / "best")
    return folder / "best"
