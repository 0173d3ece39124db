import pytest


@pytest.fixture(scope="module")
def checkout(new_checkout):
    """A fresh checkout; a module that goes on from a run has `trained` in its place."""
    return new_checkout()
