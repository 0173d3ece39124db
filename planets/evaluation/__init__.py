"""Scoring trained networks, and fitting the decision."""
