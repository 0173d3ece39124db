"""Chips in the Kaggle layout: table, audit, copy and split."""
