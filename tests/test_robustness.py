"""Disturbances, and what they do to a detector whose weakness is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import read_images
from test_ops import picture

import data_pipeline.training.disturb as disturb
from data_pipeline.training.disturb import DISTURBANCES, Disturbed
from data_pipeline.training.sources import ArraySource
from matnet_jax.evaluation.robustness import measure_robustness


def clip_source(videos: int = 4, frames: int = 3, size: int = 41) -> ArraySource:
    """Coarse pictures; the fakes, every other video, are paler and carry a fine checkerboard."""
    images, labels, names, numbers = [], [], [], []
    board = (np.indices((size, size)).sum(0) % 2 * 40 - 20).astype(np.int16)[..., None]
    for video in range(videos):
        for frame in range(frames):
            image = picture(video, size, size).astype(np.int16) // (2 + 4 * (video % 2)) + 60
            images.append((image + board * (video % 2)).clip(0, 255).astype(np.uint8))
            labels.append(video % 2)
            names.append(f"v{video}")
            numbers.append(10 * frame)
    order = np.random.default_rng(0).permutation(len(images))
    columns = {"label": labels, "video_id": names, "frame": numbers}
    return ArraySource(
        np.stack(images)[order], {name: np.array(values)[order] for name, values in columns.items()}
    )


def difference(a: Any, b: Any) -> float:
    return float(np.mean([np.abs(x.astype(float) - y).mean() for x, y in zip(a, b, strict=True)]))


@pytest.mark.parametrize("name", DISTURBANCES)
def test_stronger_is_further_away(name: Any) -> None:
    images = [picture(i, 41, 40) for i in range(3)]
    before = [image.copy() for image in images]
    distances = []
    for strength in DISTURBANCES[name].strengths:
        done = DISTURBANCES[name].apply(images, strength, 7)
        again = DISTURBANCES[name].apply(images, strength, 7)
        assert len(done) == 3 and all(image.shape == (41, 40, 3) for image in done)
        assert all(image.dtype == np.uint8 for image in done)
        np.testing.assert_array_equal(np.stack(done), np.stack(again))
        distances.append(difference(done, images))
    assert distances == sorted(distances) and distances[0] > 0
    np.testing.assert_array_equal(np.stack(images), np.stack(before))


def test_h264_is_faithful_at_a_low_crf_and_takes_unequal_sizes() -> None:
    images = [picture(0, 48, 48), picture(1, 48, 48), picture(2, 33, 35)]
    done = disturb.h264(images, 1)
    assert [image.shape for image in done] == [image.shape for image in images]
    assert difference(done, images) < 6  # what 4:2:0 loses
    assert difference(disturb.h264(images, 40), images) > 2 * difference(done, images)


def test_a_disturbed_source_does_not_depend_on_how_it_is_read() -> None:
    source = clip_source()
    whole = read_images(Disturbed(source, "h264_crf", 36))
    other = Disturbed(source, "h264_crf", 36)
    for i in np.random.default_rng(1).permutation(len(source)):
        np.testing.assert_array_equal(read_images(other, np.array([i]))[0], whole[i])
    assert other.columns is source.columns and len(other) == len(source)
    assert difference(whole, read_images(source)) > 1


def test_masks_and_landmarks_are_not_disturbed() -> None:
    source = clip_source()
    mask = np.random.default_rng(0).integers(0, 2, (len(source), 41, 41)).astype(np.uint8) * 255
    source = ArraySource(np.stack(read_images(source)), source.columns, mask=mask)
    disturbed = Disturbed(source, "blur_sigma", 2)
    assert disturbed.fields == ("mask",) and disturbed.crop_protocol is None
    for i, example in enumerate(disturbed.read(np.arange(len(source)), ["mask"])):
        np.testing.assert_array_equal(example.mask, mask[i])
        assert example.label == source.columns["label"][i]
    np.testing.assert_array_equal(
        read_images(disturbed)[5], disturbed.read(np.array([5]), ["mask"])[0].image
    )


def edges(source: Any) -> dict:
    """A detector of fine checkerboards."""
    pictures = np.stack(read_images(source)).astype(float)
    strength = np.abs(np.diff(pictures, axis=2)).mean(axis=(1, 2, 3))
    return {**source.columns, "score": 1 - np.exp(-strength / 10)}


def test_a_detector_of_fine_texture_fails_under_blur_not_under_saturation(tmp_path: Path) -> None:
    curves = measure_robustness(
        edges,
        clip_source(),
        ["blur_sigma", "saturation"],
        kept=tmp_path / "robustness.json",
        identity={"step": 1},
    )
    assert [point["strength"] for point in curves["blur_sigma"]] == [0.5, 1, 2, 4]
    assert all(point["video_auc"] == 1.0 for point in curves["saturation"])
    assert curves["blur_sigma"][0]["video_auc"] == 1.0
    assert curves["blur_sigma"][-1]["video_auc"] == 0.0  # what is left is that fakes are paler


def test_an_interrupted_measurement_continues(tmp_path: Path) -> None:
    calls = 0

    def score(source: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return edges(source)

    options = {"kept": tmp_path / "robustness.json", "identity": {"step": 1}}
    with pytest.raises(KeyboardInterrupt):
        measure_robustness(score, clip_source(), ["contrast"], **options)
    assert len(json.loads(options["kept"].read_text())["points"]["contrast"]) == 2
    calls = 10
    curves = measure_robustness(score, clip_source(), ["contrast"], **options)
    assert calls == 12 and [p["strength"] for p in curves["contrast"]] == [0.8, 0.6, 0.4, 0.2]
    # Of another checkpoint, nothing kept counts.
    measure_robustness(score, clip_source(), ["contrast"], **options | {"identity": {"step": 2}})
    assert calls == 16


def test_points_of_other_records_are_measured_again(tmp_path: Path) -> None:
    options = {"kept": tmp_path / "robustness.json", "identity": {"step": 1}}
    sources: list[Any] = []

    def score(source: Any) -> Any:
        sources.append(source)
        return edges(source)

    first = clip_source()
    curves = measure_robustness(score, first, ["contrast"], **options)
    assert measure_robustness(score, first, ["contrast"], **options) == curves
    assert len(sources) == 4
    recut = ArraySource(np.stack(read_images(first))[:, ::-1], first.columns)
    measure_robustness(score, recut, ["contrast"], **options)
    assert len(sources) == 8
    other = ArraySource(
        np.stack(read_images(first)), {**first.columns, "label": 1 - first.columns["label"]}
    )
    inverted = measure_robustness(score, other, ["contrast"], **options)["contrast"]
    assert [p["video_auc"] for p in inverted] == [1 - p["video_auc"] for p in curves["contrast"]]
    assert json.loads(options["kept"].read_text())["of"]["step"] == 1
