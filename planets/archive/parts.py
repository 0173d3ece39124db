"""The parts of a split."""

PARTS = ("train", "valid", "test")
"""In the order in which a chip meets them."""
