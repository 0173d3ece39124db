"""Scores of predictions, and tests of their differences."""
