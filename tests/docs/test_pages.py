"""A reader who does what the pages say gets what they promise."""

import pytest
from support.pages import DOCS, ROOT

pytestmark = pytest.mark.slow

ALONE = {"experiments.md", "extending.md", "recipes.md"}
"""Pages with a module of their own: they train, change the checkout, or need another server."""


@pytest.mark.parametrize(
    "page",
    [page for page in (ROOT / "README.md", *DOCS) if page.name not in ALONE],
    ids=lambda page: page.name,
)
def test_what_a_page_says_to_do_works(page, reader):
    reader.follow(page)
