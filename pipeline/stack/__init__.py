"""The embedded server and the workers of this machine."""
