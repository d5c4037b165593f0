"""Detectors behind one interface; RetinaFace on a network that the test makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from data_pipeline.detectors import DetectorError, create_detector, yunet
from data_pipeline.detectors.none import WholeImage
from data_pipeline.extract.crops import Settings

# For 64×64 pixels: steps 8, 16, 32 with two anchors a cell.
_ANCHORS = 2 * (8 * 8 + 4 * 4 + 2 * 2)
_CELL = 2 * (3 * 8 + 4)
"""The smaller anchor of row 3, column 4 of the finest level: centre (36, 28), side 16."""


def retinaface_file(
    path: Any, *, faces: Any = ((_CELL, 0.9),), anchors: Any = _ANCHORS, widths: Any = (4, 2, 10)
) -> Any:
    """An ONNX file with RetinaFace's outputs, each a constant plus 0 times the input."""
    boxes, scores, landmarks = (np.zeros((1, anchors, width), np.float32) for width in widths)
    scores[..., 0] = 1
    for anchor, score in faces:
        scores[0, anchor, :2] = (1 - score, score)
        boxes[0, anchor] = [5, 0, 5 * np.log(2), 0][: widths[0]]  # half a side right, twice as wide
        landmarks[0, anchor, :2] = (-5, -5)
    zero = numpy_helper.from_array(np.float32(0), "zero")
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    outputs, constants = [], [zero]
    # Names and order are the exporter's own: neither is relied upon.
    for name, array in (("b", landmarks), ("c", boxes), ("a", scores)):
        constants.append(numpy_helper.from_array(array, f"{name}_constant"))
        nodes.append(helper.make_node("Add", [f"{name}_constant", "nothing"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    graph = helper.make_graph(nodes, "retinaface", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_retinaface_decodes_boxes_and_landmarks(tmp_path: Path) -> None:
    detector = create_detector("retinaface", retinaface_file(tmp_path / "r.onnx"))
    [face] = detector.detect(np.zeros((64, 64, 3), np.uint8))
    # Centre 36 + 0.1·5·16, width 16·exp(0.2·5·ln 2).
    np.testing.assert_allclose(face.box, [44 - 16, 28 - 8, 44 + 16, 28 + 8], atol=1e-4)
    np.testing.assert_allclose(face.landmarks[0], [36 - 8, 28 - 8], atol=1e-4)
    np.testing.assert_allclose(face.landmarks[1:], np.tile([36, 28], (4, 1)), atol=1e-4)
    assert face.score == pytest.approx(0.9)


def test_of_overlapping_detections_the_surest_stays(tmp_path: Path) -> None:
    path = retinaface_file(tmp_path / "r.onnx", faces=((_CELL, 0.8), (_CELL + 2, 0.95)))
    [face] = create_detector("retinaface", path).detect(np.zeros((64, 64, 3), np.uint8))
    assert face.score == pytest.approx(0.95)


def test_boxes_are_in_pixels_of_the_full_frame(tmp_path: Path) -> None:
    detector = create_detector("retinaface", retinaface_file(tmp_path / "r.onnx"))
    detector._long_side = 64
    [face] = detector.detect(np.zeros((128, 128, 3), np.uint8))
    np.testing.assert_allclose(face.box, [56, 40, 120, 72], atol=1e-3)


def test_retinaface_refuses_other_networks(tmp_path: Path) -> None:
    other = retinaface_file(tmp_path / "other.onnx", widths=(4, 3, 10))
    with pytest.raises(DetectorError, match=r"scores \[1, A, 2\]"):
        create_detector("retinaface", other)
    text = tmp_path / "text.onnx"
    text.write_text("no network")
    with pytest.raises(DetectorError, match=r"text.onnx is no ONNX file that loads"):
        create_detector("retinaface", text)
    fewer = create_detector(
        "retinaface", retinaface_file(tmp_path / "f.onnx", anchors=_ANCHORS - 8)
    )
    with pytest.raises(DetectorError, match=f"160 anchors for 64×64 .* make {_ANCHORS}"):
        fewer.detect(np.zeros((64, 64, 3), np.uint8))


def test_yunet_is_in_the_package_with_its_licence_and_is_the_default(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    assert create_detector(Settings().detector).detect(noise) == []
    notice = yunet.WEIGHTS.with_suffix(".LICENSE.txt").read_text()
    for text in (yunet.SHA256, "opencv_zoo", "MIT License", "Copyright (c) 2020 Shiqi Yu"):
        assert text in notice
    with pytest.raises(DetectorError, match="leave --detector_weights out for the package's own"):
        create_detector("yunet", tmp_path / "none.onnx")


def test_images_that_are_crops_are_one_face_each() -> None:
    [face] = WholeImage().detect(np.zeros((20, 30, 3), np.uint8))
    assert list(face.box) == [0, 0, 30, 20] and np.isnan(face.landmarks).all()
