"""The bundle: a trained model with everything needed to use it."""
