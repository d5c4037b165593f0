"""Local forgeries of a frame: a region changed and blended back with a soft mask.

As a real forger's, the changed region was synthesised at a lower resolution than the frame, so it
lacks the fine grain around it; each kind has a trace of its own besides.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.synthetic.faces import FaceGrid

KINDS = ("warp", "lowpass", "recolor", "swap")

# Centre and radii in face coordinates.
_REGIONS = {
    "eyes": ((0.0, -0.22), (0.58, 0.26)),
    "nose": ((0.0, 0.1), (0.3, 0.36)),
    "mouth": ((0.0, 0.54), (0.42, 0.27)),
    "inner face": ((0.0, 0.15), (0.56, 0.66)),
}


@dataclasses.dataclass(frozen=True)
class Forgery:
    """What a forger does to every frame of a clip.

    Attributes:
      kind: one of `KINDS`.
      region: a name in `_REGIONS`.
      softness: width of the mask's border; larger is softer.
      resolution: of the synthesised region, as a fraction of the frame's.
      shift: displacement of "warp", in pixels of a 128 px frame, (right, down).
      gain: factor a channel of "recolor".
    """

    kind: str
    region: str
    softness: float
    resolution: float
    shift: tuple[float, float]
    gain: tuple[float, float, float]


def draw_forgery(draw: np.random.Generator, kind: str) -> Forgery:
    """A random forgery of a kind; colours shift up as often as down."""
    region = str(draw.choice(["inner face", "mouth", "eyes", "nose"], p=[0.7, 0.1, 0.1, 0.1]))
    if kind == "swap":
        region = "inner face"
    angle, length = draw.uniform(0, 2 * np.pi), draw.uniform(3.0, 5.0)
    tilt = draw.uniform(0.1, 0.2) * draw.choice([-1.0, 1.0])
    # The channels move apart, so brightness stays while the hue is off.
    gain = 1 + tilt * np.array([1.0, -1.0, 1.0]) * draw.uniform(0.6, 1.0, 3)
    return Forgery(
        kind=kind,
        region=region,
        softness=draw.uniform(0.06, 0.15),
        resolution=draw.uniform(0.15, 0.2) if kind == "lowpass" else draw.uniform(0.2, 0.3),
        shift=(length * np.cos(angle), length * np.sin(angle)),
        gain=tuple(gain),
    )


def region_mask(forgery: Forgery, grid: FaceGrid) -> np.ndarray:
    """The soft mask of the forged region: [S, S] in [0, 1]."""
    (centre_u, centre_v), (radius_u, radius_v) = _REGIONS[forgery.region]
    distance = np.hypot((grid.fu - centre_u) / radius_u, (grid.v - centre_v) / radius_v)
    return np.clip((1 - distance) / forgery.softness, 0, 1)


def forge(
    frame: np.ndarray, forgery: Forgery, grid: FaceGrid, donor: np.ndarray | None = None
) -> np.ndarray:
    """A forged frame.

    Args:
      frame: float32 RGB [S, S, 3], 0 to 255.
      forgery: what is done.
      grid: where the face is.
      donor: the same scene with another person's face; "swap" alone needs it.

    Raises:
      ValueError: a swap without a donor.
    """
    size = frame.shape[0]
    mask = region_mask(forgery, grid)
    changed = frame
    if forgery.kind == "swap":
        if donor is None:
            raise ValueError("a swap needs the donor's frame")
        # Colours are matched in the mean, as face-swapping tools do.
        inside = mask > 0.5
        offset = frame[inside].mean(0) - donor[inside].mean(0) if inside.any() else np.zeros(3)
        changed = donor + offset.astype(np.float32)
    elif forgery.kind == "warp":
        rows, cols = np.mgrid[0:size, 0:size].astype(np.float32)
        shift = np.array(forgery.shift) * size / 128
        changed = cv2.remap(
            frame,
            (cols - shift[0] * mask).astype(np.float32),
            (rows - shift[1] * mask).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
    elif forgery.kind == "recolor":
        changed = frame * np.array(forgery.gain, np.float32)
    small = max(4, round(size * forgery.resolution))
    changed = cv2.resize(changed, (small, small), interpolation=cv2.INTER_AREA)
    changed = cv2.resize(changed, (size, size), interpolation=cv2.INTER_CUBIC)
    blended = frame * (1 - mask[..., None]) + changed * mask[..., None]
    return np.clip(blended, 0, 255).astype(np.float32)
