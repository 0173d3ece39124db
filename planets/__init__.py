"""The domain library: satellite chips, their labels, and the model that reads them; knows no ClearML."""
