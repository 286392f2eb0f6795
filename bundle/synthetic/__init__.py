"""Pairs whose motion is known exactly: phantoms, and simulated breaths of a CT."""
