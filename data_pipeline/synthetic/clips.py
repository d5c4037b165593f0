"""Clips through a camera: noise, blur and JPEG, the same for a real clip and its forgery."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import cv2
import numpy as np

from data_pipeline.synthetic.faces import Identity, draw_frame, draw_identity, draw_scene, face_grid
from data_pipeline.synthetic.forgeries import KINDS, draw_forgery, forge, region_mask
from data_pipeline.synthetic.landmarks import face_landmarks
from data_pipeline.training.sources import ArraySource

IDENTITIES = {"train": 320, "val": 32, "test": 48}
"""People a split; no person is in two."""

_FIRST_IDENTITY = {"train": 0, "val": 100_000, "test": 200_000}
_FRAMES_PER_SECOND = 8.0


@dataclasses.dataclass(frozen=True)
class _Camera:
    """One camera a clip.

    Whatever is measured over a whole frame varies more between cameras than between a real frame
    and its forgery.
    """

    blur: float
    noise: float
    quality: int
    gain: float
    tint: np.ndarray


def _draw_camera(draw: np.random.Generator) -> _Camera:
    return _Camera(
        blur=draw.uniform(0.3, 0.9),
        noise=np.exp(draw.uniform(np.log(4.0), np.log(14.0))),
        quality=int(draw.integers(75, 97)),
        gain=draw.uniform(0.8, 1.15),
        tint=draw.uniform(0.93, 1.07, 3),
    )


def _expose(frame: np.ndarray, camera: _Camera, draw: np.random.Generator) -> np.ndarray:
    blurred = cv2.GaussianBlur(frame, (0, 0), camera.blur) * (camera.gain * camera.tint)
    noisy = blurred + camera.noise * draw.standard_normal(frame.shape)
    return np.clip(noisy, 0, 255).astype(np.float32)


def _compress(frame: np.ndarray, camera: _Camera) -> np.ndarray:
    pixels = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


@dataclasses.dataclass(frozen=True)
class Clips:
    """The frames of clips, one after the other.

    Attributes:
      images: uint8 RGB [N, S, S, 3].
      columns: as of `data_pipeline.training.sources`; `subset` is "real" or the kind of forgery,
        `source_id` the person.
      mask: uint8 [N, S, S], 255 where the forgery outweighs what was there.
      landmarks: float32 [N, 5, 2], of the face that is seen: the donor's, where it is swapped.
    """

    images: np.ndarray
    columns: dict[str, np.ndarray]
    mask: np.ndarray
    landmarks: np.ndarray


class _Frame(NamedTuple):
    image: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray


def make_clips(split: str, **options: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images and columns of `draw_clips`, whose arguments it takes."""
    clips = draw_clips(split, **options)
    return clips.images, clips.columns


def draw_clips(
    split: str,
    *,
    seed: int = 0,
    num_identities: int | None = None,
    clips_per_identity: int = 1,
    frames_per_clip: int = 4,
    image_size: int = 128,
) -> Clips:
    """Clips of a split, each once real and once forged; a pure function of its arguments.

    Args:
      split: train, val or test: disjoint people.
      seed: another one makes other people.
      num_identities: people; None for `IDENTITIES`.
      clips_per_identity: each with a scene, a camera and a forgery of its own.
      frames_per_clip: at 8 frames a second.
      image_size: pixels.

    Raises:
      ValueError: an unknown split.
    """
    if split not in IDENTITIES:
        raise ValueError(f"no split '{split}'; there are {', '.join(IDENTITIES)}")
    frames: list[_Frame] = []
    rows: list[tuple] = []
    for person in range(num_identities or IDENTITIES[split]):
        number = _FIRST_IDENTITY[split] + person
        identity = draw_identity(np.random.default_rng([seed, number]))
        for clip in range(clips_per_identity):
            draw = np.random.default_rng([seed, number, clip])
            kind = KINDS[(person * clips_per_identity + clip) % len(KINDS)]
            name = f"{split}{person:03d}_{clip}"
            real, fake = _make_clip(identity, draw, kind, frames_per_clip, image_size)
            for label, clip_frames in enumerate((real, fake)):
                subset = kind if label else "real"
                video = f"{name}_{kind}" if label else name
                for i, frame in enumerate(clip_frames):
                    frames.append(frame)
                    rows.append((subset, video, f"{split}{person:03d}", i, label))
    subsets, video_ids, source_ids, numbers, labels = zip(*rows, strict=True)
    columns = {
        "dataset": np.full(len(rows), "synthetic"),
        "subset": np.array(subsets),
        "compression": np.full(len(rows), "jpeg"),
        "split": np.full(len(rows), split),
        "video_id": np.array(video_ids),
        "source_id": np.array(source_ids),
        "frame": np.array(numbers, np.int32),
        "face": np.zeros(len(rows), np.int32),
        "label": np.array(labels, np.int32),
        "timestamp": np.array(numbers, np.float32) / np.float32(_FRAMES_PER_SECOND),
    }
    images, masks, landmarks = (np.stack(arrays) for arrays in zip(*frames, strict=True))
    return Clips(images, columns, masks, landmarks)


def _make_clip(
    identity: Identity, draw: np.random.Generator, kind: str, frames: int, size: int
) -> tuple[list[_Frame], list[_Frame]]:
    scene, camera = draw_scene(draw, size), _draw_camera(draw)
    donor, forgery = draw_identity(draw), draw_forgery(draw, kind)
    noise_seeds = draw.integers(0, 2**32, (frames, 2))
    real: list[_Frame] = []
    fake: list[_Frame] = []
    for i in range(frames):
        time = i / max(frames - 1, 1)
        # Both saw the same camera, noise included; only then is one of them forged, and both are
        # compressed alike.
        exposed = _expose(
            draw_frame(identity, scene, time, size),
            camera,
            np.random.default_rng(noise_seeds[i, 0]),
        )
        other = None
        if kind == "swap":
            noise = np.random.default_rng(noise_seeds[i, 1])
            other = _expose(draw_frame(donor, scene, time, size), camera, noise)
        grid = face_grid(identity, scene, time, size)
        forged = forge(exposed, forgery, grid, other)
        mask = np.where(region_mask(forgery, grid) >= 0.5, 255, 0).astype(np.uint8)
        own, donors = (face_landmarks(who, scene, time, size) for who in (identity, donor))
        seen = donors if kind == "swap" else own
        real.append(_Frame(_compress(exposed, camera), np.zeros_like(mask), own))
        fake.append(_Frame(_compress(forged, camera), mask, seen))
    return real, fake


def synthetic_source(
    split: str, *, seed: int = 0, image_size: int = 128, num_identities: int | None = None
) -> ArraySource:
    """The split in memory, with masks and landmarks; arguments as in `draw_clips`."""
    clips = draw_clips(split, seed=seed, image_size=image_size, num_identities=num_identities)
    return ArraySource(clips.images, clips.columns, mask=clips.mask, landmarks=clips.landmarks)
