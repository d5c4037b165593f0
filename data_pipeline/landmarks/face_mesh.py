"""MediaPipe's face mesh through TensorFlow Lite: 468 landmarks of a face that was found."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipeline.fetch import FetchError, check, fetch

SHA256 = "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
URL = "https://storage.googleapis.com/mediapipe-assets/face_landmark.tflite"
NUM_POINTS = 468
_NAME = "face_landmark.tflite"
_INPUT_SIZE = 192
_MARGIN = 1.5
"""The network's input is a square of this many times the longer side of the face's box."""


class LandmarkError(ValueError):
    """The mesh cannot be set up; the message says what it needs."""


class FaceMesh:
    """The 468 landmarks of a face.

    Args:
      weights: MediaPipe's face_landmark.tflite; None fetches it once into the cache folder.

    Raises:
      LandmarkError: no file, another one than was tested, it cannot be fetched, or nothing that
        runs it is installed.
    """

    def __init__(self, weights: Path | None = None) -> None:
        try:
            path = fetch(URL, sha256=SHA256, name=_NAME) if weights is None else Path(weights)
            if not path.is_file():
                raise LandmarkError(f"no file {path}: give MediaPipe's {_NAME}")
            check(path, SHA256, str(path))
        except FetchError as error:
            raise LandmarkError(f"no {_NAME}: {error}; or give the path of the file") from error
        self._interpreter = _interpreter(path)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        # The other output says how sure it is that this is a face.
        self._output = next(
            output["index"]
            for output in self._interpreter.get_output_details()
            if int(np.prod(output["shape"])) == 3 * NUM_POINTS
        )

    def points(self, image: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Where they are.

        Args:
          image: uint8 RGB [H, W, 3].
          box: x0, y0, x1, y1 of the face, in pixels.
          landmarks: [5, 2] of the face, of which the eyes say how it is turned.

        Returns:
          float32 [468, 2], x and y in pixels of the image.

        Raises:
          LandmarkError: box or landmarks are not known (NaN).
        """
        if not (np.isfinite(box).all() and np.isfinite(landmarks).all()):
            raise LandmarkError("no mesh of a face whose box or eyes are not known (NaN)")
        matrix = _input_matrix(box, landmarks)
        size = (_INPUT_SIZE, _INPUT_SIZE)
        face = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
        self._interpreter.set_tensor(self._input, (face[None] / np.float32(255)).astype(np.float32))
        self._interpreter.invoke()
        found = self._interpreter.get_tensor(self._output).reshape(NUM_POINTS, 3)[:, :2]
        back = cv2.invertAffineTransform(matrix)
        return (found @ back[:, :2].T + back[:, 2]).astype(np.float32)


def _input_matrix(box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Takes the image to the network's input, eyes level: [2, 3]."""
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    scale = _INPUT_SIZE / max(_MARGIN * max(x1 - x0, y1 - y0), 1e-6)
    across = np.asarray(landmarks, np.float64)[1] - landmarks[0]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    centre = ((x0 + x1) / 2, (y0 + y1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, angle, scale), np.float64)
    matrix[:, 2] += (_INPUT_SIZE - 1) / 2 - np.array(centre)
    return matrix


def _interpreter(path: Path) -> Any:
    for module, attribute in (("ai_edge_litert.interpreter", ""), ("tensorflow", "lite")):
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        owner = getattr(found, attribute) if attribute else found
        with warnings.catch_warnings():
            # TensorFlow's own is deprecated in favour of LiteRT, which is taken where it is there.
            warnings.simplefilter("ignore", UserWarning)
            return owner.Interpreter(model_path=str(path), num_threads=1)
    raise LandmarkError(
        f"nothing here runs {path}: pip install 'matnet-jax[data]' (TensorFlow) or ai-edge-litert"
    )
