"""Disturbances of graded strength, under which a test set is scored again.

Each takes the crops of one video in order, so that H.264 compresses them as a video; strengths are
given from mild to strong.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import cv2
import numpy as np

from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.training.clips import ClipSource
from data_pipeline.training.draws import stream
from data_pipeline.training.example import Example
from data_pipeline.training.ops import JPEG, Downscale
from data_pipeline.training.sources import VIDEO_COLUMNS, Source

Images = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """One way to spoil images.

    Attributes:
      strengths: that are scored, mild ones first.
      apply: (uint8 RGB images of one video in order, strength, seed) -> as many of the same shapes.
      says: what the strength is.
    """

    strengths: tuple[float, ...]
    apply: Callable[[Sequence[np.ndarray], float, int], Images]
    says: str


def disturbed(source: Source, name: str, strength: float) -> Source:
    """A source under a disturbance, see `Disturbed`; of clips the frames of each video are."""
    if isinstance(source, ClipSource):
        return source.over(Disturbed(source.frames, name, strength))
    return Disturbed(source, name, strength)


class Disturbed:
    """A source of single images which are disturbed; a pure function of source, name and strength.

    Masks, landmarks and boxes stay: no disturbance moves pixels.

    Args:
      source: the images.
      name: of `DISTURBANCES`.
      strength: as its `says` has it.
    """

    def __init__(self, source: Source, name: str, strength: float) -> None:
        self._source, self._strength = source, strength
        self._disturbance = DISTURBANCES[name]
        self.columns: Mapping[str, np.ndarray] = source.columns
        self.fields: tuple[str, ...] = source.fields
        self.crop_protocol: CropProtocol | None = source.crop_protocol
        identity = [source.columns[k] for k in VIDEO_COLUMNS]
        _, self._video = np.unique(np.stack(identity, axis=1), axis=0, return_inverse=True)
        self._video = self._video.reshape(-1)
        # A batch ends amid a video more often than not: keep the last few.
        self._disturbed = functools.lru_cache(maxsize=8)(self._disturb)

    def __len__(self) -> int:
        return len(self._source)

    def __str__(self) -> str:
        return str(self._source)

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`."""
        names = tuple(fields)
        return [self._disturbed(int(self._video[i]), names)[int(i)] for i in np.asarray(indices)]

    def _disturb(self, video: int, fields: tuple[str, ...]) -> dict[int, Example]:
        rows = np.flatnonzero(self._video == video)
        columns = self.columns
        rows = rows[np.lexsort((columns["frame"][rows], columns["face"][rows]))]
        examples = self._source.read(rows, fields)
        images = [example.image for example in examples]
        done = self._disturbance.apply(images, self._strength, int(rows.min()))
        return {
            int(row): dataclasses.replace(example, image=image)
            for row, example, image in zip(rows, examples, done, strict=True)
        }


def _each(
    apply: Callable[[np.ndarray, float], np.ndarray],
) -> Callable[[Sequence[np.ndarray], float, int], Images]:
    return lambda images, strength, seed: [apply(image, strength) for image in images]


def h264(images: Sequence[np.ndarray], crf: float, seed: int = 0, preset: str = "medium") -> Images:
    """Encodes the images as a video with x264 and decodes it.

    In yuv420p, without macroblock tree.

    Args:
      images: uint8 RGB [H, W, 3] each.
      crf: x264's constant rate factor.
      seed: nothing is drawn.
      preset: x264's, of speed.

    Raises:
      ImportError: PyAV is missing (extra ``video``).
    """
    del seed
    done: Images = []
    start = 0
    for end in range(1, len(images) + 1):
        if end == len(images) or images[end].shape != images[start].shape:
            done += _h264_clip(images[start:end], crf, preset)
            start = end
    return done


def _h264_clip(images: Sequence[np.ndarray], crf: float, preset: str) -> Images:
    import av

    height, width = images[0].shape[:2]
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        # One thread, whole macroblocks and no macroblock tree: with any of these as usual, x264's
        # output varied from call to call.
        below, right = -height % 16, -width % 16
        stream.height, stream.width = height + below, width + right
        stream.pix_fmt = "yuv420p"
        fixed = {"preset": preset, "threads": "1", "x264-params": "mbtree=0"}
        stream.options = {"crf": f"{crf:g}", **fixed}
        for number, image in enumerate(images):
            whole = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(np.asarray(whole, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as encoded:
        decoded = [frame.to_ndarray(format="rgb24") for frame in encoded.decode(video=0)]
    if len(decoded) != len(images):
        raise ValueError(f"x264 gave {len(decoded)} frames back for {len(images)}")
    return [np.ascontiguousarray(frame[:height, :width]) for frame in decoded]


def _jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    return JPEG(quality=(int(quality), int(quality))).change(image, np.random.default_rng(0))


def _resize(image: np.ndarray, scale: float) -> np.ndarray:
    return Downscale(scale=(scale, scale)).change(image, np.random.default_rng(0))


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _noise(images: Sequence[np.ndarray], sigma: float, seed: int) -> Images:
    draw = stream(seed, 0)
    return [
        cv2.add(image, draw.standard_normal(image.shape, np.float32) * sigma, dtype=cv2.CV_8U)
        for image in images
    ]


def _hue(image: np.ndarray, degrees: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(degrees * 256 / 360))  # wraps, as hue does
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _saturation(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return np.clip(np.rint(grey + factor * (image - grey)), 0, 255).astype(np.uint8)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.rint(127.5 + factor * (image - 127.5)), 0, 255).astype(np.uint8)


DISTURBANCES: dict[str, Disturbance] = {
    "h264_crf": Disturbance((23, 28, 32, 36, 40), h264, "x264's constant rate factor"),
    "jpeg_quality": Disturbance((95, 75, 50, 30), _each(_jpeg), "JPEG quality"),
    "blur_sigma": Disturbance((0.5, 1, 2, 4), _each(_blur), "Gaussian blur, pixels of the crop"),
    "noise_sigma": Disturbance((2, 5, 10, 20), _noise, "Gaussian noise, of 255"),
    "resize_scale": Disturbance((0.75, 0.5, 0.25, 0.125), _each(_resize), "shrunk and grown back"),
    "hue_degrees": Disturbance((5, 10, 20, 40), _each(_hue), "turn of the hue"),
    "saturation": Disturbance((0.75, 0.5, 0.25, 0.0), _each(_saturation), "of the colours"),
    "contrast": Disturbance((0.8, 0.6, 0.4, 0.2), _each(_contrast), "around mid-grey"),
}
