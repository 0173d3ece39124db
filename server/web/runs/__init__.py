"""Pages of pipeline runs."""
