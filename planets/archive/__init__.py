"""Chips in the Kaggle layout: table, audit, copy and split."""

SPLITS = ("train", "valid", "test")
"""The names of the splits, as they are stored in tables, artifacts and bundles."""
