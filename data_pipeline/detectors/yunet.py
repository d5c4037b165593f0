"""YuNet through OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data_pipeline.detectors import DetectorError, Face
from data_pipeline.fetch import FetchError, check

SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
WEIGHTS = Path(__file__).with_name("face_detection_yunet_2023mar.onnx")
"""Of OpenCV Zoo; its licence lies beside it."""


class YuNetDetector:
    """`cv2.FaceDetectorYN` on frames of at most `long_side` pixels.

    Args:
      weights: a copy of OpenCV Zoo's face_detection_yunet_2023mar.onnx; None takes the package's.
      min_score: fainter detections are dropped.
      long_side: larger frames are shrunk for detection; boxes are those of the full frame.

    Raises:
      DetectorError: no file, or another one than was tested.
    """

    def __init__(
        self, weights: Path | None, *, min_score: float = 0.7, long_side: int = 640
    ) -> None:
        weights = WEIGHTS if weights is None else Path(weights)
        if not weights.is_file():
            raise DetectorError(
                f"no file {weights}: leave --detector_weights out for the package's own"
            )
        try:
            check(weights, SHA256, str(weights))
        except FetchError as error:
            raise DetectorError(
                f"{weights} is not {WEIGHTS.name} by its SHA-256: {error}; leave "
                "--detector_weights out for the package's own"
            ) from error
        # OpenCV 5 warns at every start that its new engine knows no targets but the CPU.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        self._net = cv2.FaceDetectorYN.create(
            str(weights), "", (320, 320), score_threshold=min_score
        )
        self._long_side = long_side

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `Detector.detect`."""
        scale = min(1.0, self._long_side / max(image.shape[:2]))
        height, width = (max(1, round(n * scale)) for n in image.shape[:2])
        small = image if scale == 1 else cv2.resize(image, (width, height), interpolation=3)
        self._net.setInputSize((width, height))
        _, found = self._net.detect(np.ascontiguousarray(small[..., ::-1]))
        faces = []
        for row in [] if found is None else found:
            x, y, w, h = row[:4] / scale
            box = np.array([x, y, x + w, y + h], np.float32)
            landmarks = (row[4:14] / scale).reshape(5, 2).astype(np.float32)
            faces.append(Face(box, landmarks, float(row[14])))
        return sorted(faces, key=lambda face: -face.area)
