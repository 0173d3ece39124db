"""Where chips come from: a local folder, Kaggle, or the synthetic sample."""
