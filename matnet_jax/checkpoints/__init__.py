"""Trained networks on disk: checkpoints of a run, and exports that run without this library."""
