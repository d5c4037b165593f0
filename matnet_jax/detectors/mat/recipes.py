"""The two recipes as field values: what distinguishes them is never a fork of a module's code."""

from __future__ import annotations

PAPER = {
    "padding": "same",
    "attention_version": "paper",
    "texture_version": "paper",
    "ril_version": "paper",
    "global_pooling": "bap",
    "standardize_pooled": False,
    "dropout_rate": 0.0,
    "final_dropout_rate": 0.0,
}
"""What the paper's text says; where it is silent, see docs/fidelity.md."""

RELEASED = {
    "padding": "nominal",
    "attention_version": "released",
    "texture_version": "v2",
    "ril_version": "v2",
    "global_pooling": "weighted",
    "standardize_pooled": True,
    "dropout_rate": 0.25,
    "final_dropout_rate": 0.5,
}
"""What the authors' published PyTorch code does."""

RECIPES = {"paper": PAPER, "released": RELEASED}
