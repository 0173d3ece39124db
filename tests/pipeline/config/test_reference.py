"""The reference of the settings is that of today's models and files."""

import pytest

from pipeline.config.folders import CONFIGS
from pipeline.config.reference import BEGIN, settings, update
from pipeline.config.settings import load_config
from planets.config import ConfigError

PAGE = CONFIGS.parent / "docs" / "configuration.md"


def test_the_page_is_not_stale():
    assert update(PAGE, CONFIGS) == PAGE.read_text(), "run `make docs`"


@pytest.mark.parametrize("profile", ["sample", "full", "gpu"])
def test_every_setting_of_a_profile_is_described(profile):
    def leaves(tree, prefix=""):
        for key, value in tree.items():
            if isinstance(value, dict) and key not in ("workers", "labels"):
                yield from leaves(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    config = load_config(profile)
    text = settings(CONFIGS)
    for name in leaves(config.model_dump()):
        assert f"- `{name}` (" in text


def test_a_value_is_shown_with_the_profiles_that_change_it():
    assert "- `training.image_size` (whole number, at least 32, at most 1024): `224`; gpu `64`" in settings(
        CONFIGS
    )


def test_a_page_without_its_mark_is_refused(tmp_path):
    page = tmp_path / "configuration.md"
    page.write_text("# Configuration\n")
    with pytest.raises(ConfigError, match="generated below it"):
        update(page, CONFIGS)
    page.write_text(f"# Mine\n\n{BEGIN}\n\nstale text\n")
    assert update(page, CONFIGS).startswith("# Mine\n")
    assert "stale text" not in update(page, CONFIGS)
