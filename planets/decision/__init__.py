"""From scores to tags: thresholds, calibration, decoding."""
