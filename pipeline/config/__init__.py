"""Settings and parameters of a run."""
