"""RetinaFace, the paper's detector, from an ONNX file through ONNX Runtime."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from data_pipeline.detectors import DetectorError, Face
from data_pipeline.onnx_runtime import onnx_runtime

# As the network was trained: BGR means, anchors of each level, and how boxes are encoded.
_MEAN = np.array([104, 117, 123], np.float32)
_STEPS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
_VARIANCES = (0.1, 0.2)
_WIDTHS = {"boxes": 4, "scores": 2, "landmarks": 10}
_OVERLAP = 0.4


class RetinaFaceDetector:
    """Runs a RetinaFace with the usual three outputs on the CPU.

    The input is [1, 3, H, W] (BGR, mean subtracted), of fixed or free size; the outputs, whatever
    their names, are [1, A, 4] box offsets, [1, A, 2] class scores and [1, A, 10] landmark offsets
    of A anchors, as PyTorch implementations export them. No weights come with this project.

    Args:
      weights: the ONNX file.
      min_score: fainter detections are dropped.
      long_side: where the network takes any size, larger frames are shrunk to this for detection.

    Raises:
      DetectorError: no such file, another kind of network, or ONNX Runtime is not installed.
    """

    def __init__(
        self, weights: Path | None, *, min_score: float = 0.7, long_side: int = 640
    ) -> None:
        try:
            onnxruntime = onnx_runtime()
        except ModuleNotFoundError as error:
            raise DetectorError(
                "retinaface needs ONNX Runtime: pip install 'matnet-jax[retinaface]'"
            ) from error
        if weights is None or not Path(weights).is_file():
            raise DetectorError(
                "retinaface needs --detector_weights=FILE.onnx, a RetinaFace exported to ONNX; got "
                f"{weights or 'none'}"
            )
        try:
            self._net = onnxruntime.InferenceSession(
                str(weights), _one_thread(onnxruntime), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own kinds
            raise DetectorError(f"{weights} is no ONNX file that loads: {error}") from error
        [self._input, *others] = self._net.get_inputs()
        widths = sorted(str(output.shape[-1]) for output in self._net.get_outputs())
        if others or widths != sorted(map(str, _WIDTHS.values())):
            shapes = {output.name: output.shape for output in self._net.get_outputs()}
            raise DetectorError(
                f"{weights} gives {shapes}; wanted one input and three outputs: boxes [1, A, 4], "
                "scores [1, A, 2] and landmarks [1, A, 10]"
            )
        self._min_score, self._long_side = min_score, long_side

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `Detector.detect`."""
        batch, scale = self._prepare(image)
        outputs = {
            array.shape[-1]: array[0] for array in self._net.run(None, {self._input.name: batch})
        }
        height, width = batch.shape[2:]
        anchors = _anchors(height, width)
        scores = outputs[2][:, 1]
        if len(scores) != len(anchors):
            raise DetectorError(
                f"retinaface gives {len(scores)} anchors for {width}×{height} pixels; steps 8, 16 "
                f"and 32 with two sizes each make {len(anchors)}"
            )
        kept = np.flatnonzero(scores >= self._min_score)
        anchors, scores = anchors[kept], scores[kept]
        pixels = np.array([width, height], np.float32) / scale
        boxes = _decode_boxes(outputs[4][kept], anchors) * np.tile(pixels, 2)
        landmarks = _decode_points(outputs[10][kept], anchors) * pixels
        chosen = _suppress(boxes, scores, self._min_score)
        faces = [
            Face(boxes[i].astype(np.float32), landmarks[i].astype(np.float32), float(scores[i]))
            for i in chosen
        ]
        return sorted(faces, key=lambda face: -face.area)

    def _prepare(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """The network's input, and its pixels per pixel of the image."""
        fixed = [side if isinstance(side, int) else None for side in self._input.shape[2:]]
        height, width = image.shape[:2]
        limits = [
            (side or self._long_side) / own
            for side, own in zip(fixed, (height, width), strict=True)
        ]
        scale = min(limits) if any(fixed) else min(1.0, *limits)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        canvas = np.zeros((fixed[0] or size[1], fixed[1] or size[0], 3), np.float32)
        canvas[: size[1], : size[0]] = small[..., ::-1] - _MEAN
        return canvas.transpose(2, 0, 1)[None], scale


def _one_thread(onnxruntime: ModuleType) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # extraction runs a process a core
    return options


def _anchors(height: int, width: int) -> np.ndarray:
    """[A, 4]: centre x, centre y, width, height, as parts of the image."""
    found = []
    for step, sizes in _STEPS.items():
        rows, columns = -(-height // step), -(-width // step)
        for y, x, size in itertools.product(range(rows), range(columns), sizes):
            found.append(
                ((x + 0.5) * step / width, (y + 0.5) * step / height, size / width, size / height)
            )
    return np.array(found, np.float32)


def _decode_boxes(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    centres = anchors[:, :2] + offsets[:, :2] * _VARIANCES[0] * anchors[:, 2:]
    sizes = anchors[:, 2:] * np.exp(offsets[:, 2:] * _VARIANCES[1])
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def _decode_points(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    moved = offsets.reshape(-1, 5, 2) * _VARIANCES[0] * anchors[:, None, 2:]
    return anchors[:, None, :2] + moved


def _suppress(boxes: np.ndarray, scores: np.ndarray, min_score: float) -> np.ndarray:
    """Of boxes that overlap, the surest."""
    corners_and_sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    chosen = cv2.dnn.NMSBoxes(corners_and_sides.tolist(), scores.tolist(), min_score, _OVERLAP)
    return np.array(chosen, np.int64).reshape(-1)
