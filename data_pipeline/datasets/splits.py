"""Splits for data sets that come without: drawn from names, so the same on every machine.

A draw depends on one name and the seed, never on which other videos are there: a download that is
completed later moves no video to another split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def draw(name: str, seed: int = 0) -> float:
    """A number in [0, 1) for a name."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def drawn_split(name: str, shares: dict[str, float] = SHARES, seed: int = 0) -> str:
    """The split of a name; `shares` sum to 1."""
    drawn, upper = draw(name, seed), 0.0
    for split, share in shares.items():
        upper += share
        if drawn < upper:
            return split
    return split


def people_split(
    people: Iterable[str], shares: dict[str, float] = SHARES, seed: int = 0
) -> str | None:
    """The split that all these people are in, or None: then the video would join two splits."""
    splits = {drawn_split(person, shares, seed) for person in people}
    return splits.pop() if len(splits) == 1 else None
