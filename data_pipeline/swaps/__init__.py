"""Faces of real people swapped by classical means: a benchmark that training never sees."""
