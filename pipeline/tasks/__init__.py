"""ClearML tasks outside a pipeline: plain training, upload, retraining."""
