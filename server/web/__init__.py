"""The page: server-rendered, over the same database and the same calls as the API."""
