"""The synthetic sample: drawn chips with real label statistics."""
