"""The embedded ClearML server: one process, one SQLite file, the API that SDK and agents speak."""

API_VERSION = "2.34"
SERVER_VERSION = "2.3.0"
