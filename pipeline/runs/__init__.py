"""Following a run: its state, outcome, logs and result."""
