"""Published peaks of accelerators, to turn counted operations and bytes into a bound on time."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Peak:
    """Of one chip: dense bfloat16 operations, and bytes of its memory, a second."""

    flops: float
    bytes: float

    def seconds(self, flops: float, moved: float) -> float:
        """The least time for so much, when computing and moving overlap wholly."""
        return max(flops / self.flops, moved / self.bytes)


# Google's Cloud TPU documentation; NVIDIA's data sheets (SXM, without sparsity).
PEAKS = {
    "v5e": Peak(197e12, 819e9),
    "v5p": Peak(459e12, 2765e9),
    "v6e": Peak(918e12, 1640e9),
    "H200": Peak(989e12, 4.8e12),
    "H100": Peak(989e12, 3.35e12),
    "A100": Peak(312e12, 2.04e12),
}


def find_peak(kind: str) -> Peak | None:
    """The peak of a device, by the name it gives itself or its slice; None if unknown."""
    return next((peak for name, peak in PEAKS.items() if name in kind), None)
