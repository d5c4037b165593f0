"""Clips as examples: which frames they have, how they are augmented, and in which batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import write_records

from data_pipeline.training.clips import ClipSource
from data_pipeline.training.disturb import Disturbed, disturbed
from data_pipeline.training.errors import DataError
from data_pipeline.training.ops import PRESETS
from data_pipeline.training.pipeline import eval_batches, train_batches
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import ArraySource, RecordSource


def frames(*tracks: tuple[str, int, int], shuffled: bool = False) -> ArraySource:
    """Tracks of (video, face, frames), each image of its own row's number."""
    video, face, number = [], [], []
    for name, who, count in tracks:
        video += [name] * count
        face += [who] * count
        number += [10 * i for i in range(count)]
    order = np.random.default_rng(0).permutation(len(video)) if shuffled else np.arange(len(video))
    columns = {
        "video_id": np.array(video)[order],
        "face": np.array(face)[order],
        "frame": np.array(number)[order],
        "label": np.array([int(name.startswith("f")) for name in video])[order],
        "timestamp": np.array(number)[order] / 25,
    }
    images = np.broadcast_to(
        np.arange(len(video), dtype=np.uint8)[:, None, None, None], (len(video), 32, 32, 3)
    )
    return ArraySource(images, columns)


def clips(source: ClipSource) -> list[tuple[str, list[int]]]:
    """Of each clip the video and the numbers of its frames."""
    columns, rows = source.frames.columns, source.rows(np.arange(len(source)))
    assert (columns["video_id"][rows] == source.columns["video_id"][:, None]).all()
    assert (columns["face"][rows] == source.columns["face"][:, None]).all()
    return [(columns["video_id"][own[0]], (columns["frame"][own] // 10).tolist()) for own in rows]


def test_training_starts_at_any_frame() -> None:
    source = ClipSource(frames(("r", 0, 4), ("f", 0, 2)), 3, every=1)
    assert clips(source) == [("r", [0, 1, 2]), ("r", [1, 2, 3]), ("f", [0, 1, 1])]
    assert source.columns["frame"].tolist() == [0, 10, 0]
    assert source.columns["timestamp"].tolist() == pytest.approx([0, 0.4, 0])
    assert source.columns["label"].tolist() == [0, 0, 1] and len(source) == 3


def test_evaluation_loses_no_frame() -> None:
    source = ClipSource(frames(("r", 0, 7), ("f", 0, 6), ("s", 0, 1)), 3, every=3)
    assert clips(source) == [
        *(("r", own) for own in ([0, 1, 2], [3, 4, 5], [4, 5, 6])),
        *(("f", own) for own in ([0, 1, 2], [3, 4, 5])),
        ("s", [0, 0, 0]),
    ]
    found = source.each_frame()
    assert sorted(found.row) == list(range(14))
    np.testing.assert_array_equal(source.rows(found.clip)[np.arange(14), found.place], found.row)
    assert found.clip[found.row == 6].tolist() == [2] and found.place[found.row == 6] == 2


def test_faces_and_videos_do_not_mix_whatever_the_order_of_the_rows() -> None:
    tracks = (("r", 0, 4), ("r", 1, 3), ("f", 0, 5))
    ordered, mixed = (ClipSource(frames(*tracks, shuffled=s), 2, every=2) for s in (False, True))
    found = [sorted(zip(clips(s), s.columns["face"], strict=True)) for s in (ordered, mixed)]
    assert found[0] == found[1] and len(ordered) == 2 + 2 + 3
    # Tracks come as their first rows do.
    assert [name for name, _ in clips(ordered)] == ["r"] * 4 + ["f"] * 3


def test_what_is_read() -> None:
    source = ClipSource(frames(("r", 0, 4), ("f", 0, 2)), 3, every=1)
    first, last = source.read(np.array([1, 2]))
    assert first.image.shape == (3, 32, 32, 3) and first.label == 0 and last.label == 1
    assert first.image[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert last.image[:, 0, 0, 0].tolist() == [4, 5, 5]
    with pytest.raises(DataError, match="no mask in clips of 3 frames of an ArraySource"):
        source.read(np.array([0]), ["mask"])
    with pytest.raises(DataError, match="no landmarks in clips of 3 frames"):
        next(eval_batches(source, batch_size=2, image_size=32, reads=["landmarks"]))
    with pytest.raises(ValueError, match="must be at least 1"):
        ClipSource(source.frames, 0, every=1)


def test_all_frames_of_a_clip_are_augmented_alike() -> None:
    draw = np.random.default_rng(0)
    images = np.repeat(draw.integers(0, 255, (4, 1, 48, 48, 3), dtype=np.uint8), 3, axis=1)
    columns = {
        "label": np.arange(12) // 3 % 2,
        "video_id": np.repeat(list("abcd"), 3),
        "frame": np.arange(12) % 3,
    }
    source = ClipSource(ArraySource(images.reshape(12, 48, 48, 3), columns), 3, every=1)
    sampler = Sampler(source.columns["label"], batch_size=4, seed=0)
    batch = next(train_batches(source, sampler, ops=PRESETS["strong"], image_size=32))
    assert batch["image"].shape == (4, 3, 32, 32, 3) and batch["image"].dtype == np.uint8
    np.testing.assert_array_equal(batch["image"][:, 0], batch["image"][:, 1])
    np.testing.assert_array_equal(batch["image"][:, 0], batch["image"][:, 2])
    plain = next(train_batches(source, sampler, ops=(), image_size=32))
    assert all((batch["image"][i] != plain["image"][i]).any() for i in range(4))


def some(source: Any, steps: range, process: int = 0, processes: int = 1) -> list[Any]:
    made = train_batches(
        source,
        Sampler(source.columns["label"], batch_size=4, seed=3),
        ops=PRESETS["standard"],
        image_size=32,
        start_step=steps.start,
        process_index=process,
        process_count=processes,
    )
    return [next(made) for _ in steps]


def test_batches_are_the_same_after_a_restart_and_for_two_processes(tmp_path: Path) -> None:
    write_records(tmp_path, frames=5)
    source = ClipSource(RecordSource(tmp_path, "train"), 3, every=1)
    assert len(source) == 4 * 3 and source.crop_protocol == source.frames.crop_protocol
    whole = some(source, range(4))
    for later, again in zip(whole[2:], some(source, range(2, 4)), strict=True):
        assert (later["index"] == again["index"]).all()
        np.testing.assert_array_equal(later["image"], again["image"])
    parts = [some(source, range(2), process, 2) for process in (0, 1)]
    for step, batch in enumerate(whole[:2]):
        joined = np.concatenate([part[step]["image"] for part in parts])
        np.testing.assert_array_equal(batch["image"], joined)


def test_evaluation_has_each_clip_once_and_pads() -> None:
    source = ClipSource(frames(("r", 0, 7), ("f", 0, 6)), 3, every=3)
    first, last = eval_batches(source, batch_size=4, image_size=32)
    assert [*first["index"], *last["index"]] == [0, 1, 2, 3, 4, -1, -1, -1]
    assert last["weight"].tolist() == [1, 0, 0, 0] and not last["image"][1:].any()
    assert last["image"].shape == (4, 3, 32, 32, 3)


def test_frames_are_disturbed_as_one_video_before_they_are_clips() -> None:
    source = ClipSource(frames(("r", 0, 7)), 3, every=3)
    made = disturbed(source, "noise_sigma", 20)
    single = Disturbed(source.frames, "noise_sigma", 20).read(np.arange(7))
    for row, clip in zip(source.rows(np.arange(3)), made.read(np.arange(3)), strict=True):
        np.testing.assert_array_equal(clip.image, np.stack([single[i].image for i in row]))
