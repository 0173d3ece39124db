"""Every evaluated model of the project, ranked."""
