"""The embedded data set: procedural face clips and local forgeries of them, split by identity.

For demonstrations, tests and first runs: it needs no download. A detector of it detects these
forgeries and no others.
"""

from data_pipeline.synthetic.clips import (
    IDENTITIES,
    Clips,
    draw_clips,
    make_clips,
    synthetic_source,
)
from data_pipeline.synthetic.forgeries import KINDS

__all__ = ["IDENTITIES", "KINDS", "Clips", "draw_clips", "make_clips", "synthetic_source"]
