"""Chips as pixels: decoding, the store, and reading them in order."""
