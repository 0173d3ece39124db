"""Pages of a task."""
