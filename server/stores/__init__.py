"""Documents shared by several services."""
