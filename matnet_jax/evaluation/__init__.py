"""Scores of a split, and what people read of them."""
