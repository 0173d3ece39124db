"""Runs the DAG: the controller, the local stack, the command line and the verdict."""
