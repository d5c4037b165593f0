"""Calibration on some people, and the verdict on others."""
