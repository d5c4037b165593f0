"""MTCNN by the package of that name, which carries its weights and runs on TensorFlow."""

from __future__ import annotations

import os

import cv2
import numpy as np

from data_pipeline.detectors import Face

_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


class MTCNNDetector:
    """Runs on the CPU, on frames of at most `long_side` pixels.

    Args:
      min_score: fainter detections are dropped.
      long_side: larger frames are shrunk for detection; boxes are those of the full frame.
    """

    def __init__(self, *, min_score: float = 0.9, long_side: int = 640) -> None:
        # TensorFlow warns of the end of every data set that this package's own code makes.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from mtcnn import MTCNN  # imports TensorFlow: seconds that YuNet's users need not wait

        self._net = MTCNN(device="CPU:0")
        self._min_score, self._long_side = min_score, long_side

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `Detector.detect`."""
        scale = min(1.0, self._long_side / max(image.shape[:2]))
        height, width = (max(1, round(n * scale)) for n in image.shape[:2])
        small = image if scale == 1 else cv2.resize(image, (width, height), interpolation=3)
        faces = []
        for found in self._net.detect_faces(small) or []:
            if found["confidence"] < self._min_score:
                continue
            x, y, w, h = found["box"]
            box = np.array([x, y, x + w, y + h], np.float32) / scale
            points = np.array([found["keypoints"][p] for p in _POINTS], np.float32) / scale
            faces.append(Face(box, points, float(found["confidence"])))
        return sorted(faces, key=lambda face: -face.area)
