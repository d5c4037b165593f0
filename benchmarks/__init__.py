"""Measurements, each a command that prints lines of JSON; see benchmarks/README.md."""
