"""Using a bundle: predictions for a folder, a submission, the command line."""
