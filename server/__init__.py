"""The embedded ClearML server: one process, one SQLite file, the API that SDK and agents speak."""
