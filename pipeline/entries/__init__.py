"""Scripts stored with a task, which an agent executes."""
