"""Detectors of forged faces, a family a file or folder."""
