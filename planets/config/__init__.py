"""Settings: pydantic models of `configs/`, every key described."""
