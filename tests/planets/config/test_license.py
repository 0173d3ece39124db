import pytest
from pydantic import ValidationError

from planets.config.training import ModelEntry


def test_entries_stored_with_the_old_spelling_are_read_and_written_with_the_new_one() -> None:
    stored = {"name": "a", "architecture": "test_resnet", "pretrained": False, "licence": "mit"}
    entry = ModelEntry.model_validate(stored)
    assert entry.license == "mit"
    assert "license" in entry.model_dump()
    assert "licence" not in entry.model_dump()
    assert ModelEntry.model_validate(entry.model_dump()) == entry


def test_an_entry_without_a_license_is_refused_by_the_new_name() -> None:
    with pytest.raises(ValidationError, match=r"license\n  Field required"):
        ModelEntry.model_validate({"name": "a", "architecture": "test_resnet", "pretrained": False})
