"""From scores to tags."""
