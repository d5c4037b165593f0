"""What the released code does outside the network: values of sections that all runs have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RELEASED_RUN: Mapping[str, Mapping[str, Any]] = {
    "train": {"batch_size": 40},  # 10 a GPU on four
    "optimizer": {"name": "adamw", "learning_rate": 1e-4, "schedule": "step"},
}
"""``train_config``'s defaults there."""
