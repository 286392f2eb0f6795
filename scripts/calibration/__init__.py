"""Calibration of the verdict on good pairs and deliberate failures."""
