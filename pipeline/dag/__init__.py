"""Launching a run and what its controller records."""
