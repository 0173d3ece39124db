"""The file server: artifacts, models, datasets and images by path."""
