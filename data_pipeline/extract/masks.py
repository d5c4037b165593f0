"""The masks of a video's frames: which pixels a forger changed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from data_pipeline.datasets import Video
from data_pipeline.extract.frames import Frame, VideoError
from data_pipeline.extract.video import open_frames_at

_THRESHOLD = 128
"""Masks come as compressed videos: black and white with a little noise around the edges."""


class Masks:
    """The masks of a video's frames, asked for in the order of the frames.

    Args:
      video: a real one needs no file: nothing of it is forged.
      wanted: numbers of all frames that may be asked for, in order.

    Attributes:
      missing: frames that were asked for and have no mask.

    Raises:
      VideoError: a fake whose masks are not there or cannot be opened.
    """

    def __init__(self, video: Video, wanted: Sequence[int]) -> None:
        self._real, self._path = video.label == 0, video.mask
        # Frames come in the order of `wanted`, which for folders within a folder does not rise.
        self._place = {number: place for place, number in enumerate(wanted)}
        self.missing = 0
        if self._real:
            return
        if self._path is None:
            raise VideoError(f"no mask: {video.dataset} has none of {video.subset}")
        try:
            self._stream = open_frames_at(self._path, wanted)
        except VideoError as error:
            raise VideoError(f"no mask: {error}") from error
        self._frames = iter(self._stream)
        self._next: Frame | None = None

    def of(self, frame: Frame) -> np.ndarray | None:
        """The mask of a frame, uint8 [H, W], 255 where it is forged; None where there is none.

        Raises:
          VideoError: it has another size than the frame, or not one mask can be read.
        """
        height, width = frame.image.shape[:2]
        if self._real:
            return np.zeros((height, width), np.uint8)
        place = self._place[frame.number]
        while self._next is None or self._place[self._next.number] < place:
            try:
                self._next = next(self._frames)
            except StopIteration:
                self.missing += 1
                return None
            except VideoError as error:
                raise VideoError(f"no mask: {error}") from error
        if self._next.number != frame.number:  # it is a later frame's
            self.missing += 1
            return None
        found = self._next.image
        if found.shape[:2] != (height, width):
            size = f"{found.shape[1]}×{found.shape[0]}"
            raise VideoError(f"the mask {self._path} has {size} pixels, the video {width}×{height}")
        return np.where(found.max(axis=2) >= _THRESHOLD, 255, 0).astype(np.uint8)

    @property
    def problem(self) -> str:
        """Why some frames have no mask, or ""."""
        if not self.missing:
            return ""
        why = self._stream.problem or "it has not their numbers"
        return f"{self.missing} frames left out, which {self._path} has no mask of ({why})"


def encode_mask(mask: np.ndarray) -> bytes:
    """uint8 [H, W] to the bytes of a PNG."""
    return cv2.imencode(".png", mask)[1].tobytes()
