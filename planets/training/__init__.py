"""Training a network: data, augmentation, optimisation, checkpoints."""
