"""For images that are face crops already."""

from __future__ import annotations

import numpy as np

from data_pipeline.detectors import Face


class WholeImage:
    """Takes the whole image for a face, its landmarks unknown (NaN)."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `Detector.detect`."""
        height, width = image.shape[:2]
        box = np.array([0, 0, width, height], np.float32)
        return [Face(box, np.full((5, 2), np.nan, np.float32), 1.0)]
