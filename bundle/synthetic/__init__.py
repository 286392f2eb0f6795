"""Pairs with a ground-truth field: phantoms, and CTs with simulated breaths."""
