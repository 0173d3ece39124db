"""ClearML helpers shared by the steps."""
