"""A model, a step and a label set are added, as the page says."""

import pytest
from support.pages import ROOT

pytestmark = pytest.mark.slow


def test_what_the_page_says_to_do_works(reader):
    reader.follow(ROOT / "docs" / "extending.md")
