"""Clips: examples of one face in successive frames, as a source over a source of single frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.sources import VIDEO_COLUMNS, Source

TRACK = (*VIDEO_COLUMNS, "face")
"""Columns that tell whose face an example shows, and in which video."""


class Frames(NamedTuple):
    """Frames of clips, each once.

    Attributes:
      row: of the source of frames, int64 [n].
      clip: row of the clip that has it, int64 [n].
      place: in that clip, from 0, int64 [n].
    """

    row: np.ndarray
    clip: np.ndarray
    place: np.ndarray


class ClipSource:
    """A source whose examples are clips: their image is [T, H, W, 3], and else they have a label.

    A clip is of successive examples, by `frame`, of one face of one video: how far apart these are
    in time is what the records hold, not said here. Its columns are those of its first frame. A
    face in fewer frames than a clip has is one clip, whose last frame is repeated.

    Clips start `every` frames apart. With `every=1` any frame that leaves room is a start; with
    `every=length` no two clips overlap, except that the last one of a face is moved back to end
    with its last frame, so that each frame is in a clip.

    Args:
      frames: the source of single frames.
      length: T.
      every: frames from start to start.

    Attributes:
      frames: the source of single frames.

    Raises:
      ValueError: `length` or `every` is below 1.
    """

    fields: tuple[str, ...] = ()

    def __init__(self, frames: Source, length: int, *, every: int) -> None:
        if length < 1 or every < 1:
            raise ValueError(f"clips of {length} frames, every {every}: both must be at least 1")
        self.frames = frames
        self._length, self._every = length, every
        # Rows of the frames, track after track; a clip is a part of these, from start to end.
        self._order, lengths = _by_track(frames.columns)
        starts, ends, seen = [], [], []
        for end, count in zip(np.cumsum(lengths), lengths, strict=True):
            own = _starts(count, length, every)
            before = np.minimum(own + length, count)
            starts.append(end - count + own)
            ends.append(end - count + before)
            seen.append(np.concatenate([[0], np.maximum(before[:-1] - own[1:], 0)]))
        nothing = [np.zeros(0, np.int64)]
        self._starts = np.concatenate([*nothing, *starts])
        self._ends = np.concatenate([*nothing, *ends])
        self._seen = np.concatenate([*nothing, *seen])
        first = self._order[self._starts]
        self.columns: Mapping[str, np.ndarray] = {
            name: column[first] for name, column in frames.columns.items()
        }

    @property
    def crop_protocol(self) -> CropProtocol | None:
        """See `Source.crop_protocol`."""
        return self.frames.crop_protocol

    def __len__(self) -> int:
        return len(self._starts)

    def __str__(self) -> str:
        return f"clips of {self._length} frames of {self.frames}"

    def over(self, frames: Source) -> ClipSource:
        """The same clips of other frames: of a source with the same columns."""
        return ClipSource(frames, self._length, every=self._every)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows of the source of frames that clips are made of: int64 [n] -> int64 [n, T]."""
        indices = np.asarray(indices)
        places = self._starts[indices, None] + np.arange(self._length)
        return self._order[np.minimum(places, self._ends[indices, None] - 1)]

    def each_frame(self) -> Frames:
        """Where each frame is: in the first clip that has it, where clips overlap."""
        counts = self._ends - self._starts - self._seen
        clip = np.repeat(np.arange(len(self)), counts)
        within = np.arange(len(clip)) - np.repeat(np.cumsum(counts) - counts, counts)
        place = within + self._seen[clip]
        return Frames(self._order[self._starts[clip] + place], clip, place)

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`.

        Raises:
          DataError: as of the frames; or a field is asked for, or frames of a clip differ in size.
        """
        if fields:
            raise DataError(
                f"no {', '.join(fields)} in {self}: a clip has its frames' images and one label. "
                "Set config.model.clip_length=1 for a network that needs more"
            )
        rows = self.rows(indices)
        unique, where = np.unique(rows, return_inverse=True)
        examples = self.frames.read(unique)
        clips = [[examples[i] for i in own] for own in where.reshape(rows.shape)]
        return [self._joined(clip) for clip in clips]

    def _joined(self, clip: Sequence[Example]) -> Example:
        sizes = sorted({example.image.shape[:2] for example in clip})
        if len(sizes) > 1:
            raise DataError(
                f"frames of one of the {self} are of {' and '.join(map(str, sizes))} pixels: a "
                "clip needs crops of one size. Prepare them with a face detector and --crop_size"
            )
        return dataclasses.replace(clip[0], image=np.stack([example.image for example in clip]))


def frames_of(image: np.ndarray) -> np.ndarray:
    """The frames of an example's image: [T, H, W, 3] of a clip, [1, H, W, 3] of an image."""
    return image if image.ndim == 4 else image[None]


def _starts(count: int, length: int, every: int) -> np.ndarray:
    """Of a track of `count` frames; the last clip ends with the track."""
    last = max(count - length, 0)
    starts = np.arange(0, last + 1, every)
    return starts if starts[-1] == last else np.append(starts, last)


def _by_track(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows by track and frame, int64 [N], tracks as they first come; and how many each has."""
    number = np.zeros(len(columns["label"]), np.int64)
    for name in TRACK:
        _, own = np.unique(columns[name], return_inverse=True)
        _, number = np.unique(number * (own.max(initial=0) + 1) + own, return_inverse=True)
    _, first, number = np.unique(number, return_index=True, return_inverse=True)
    order = np.lexsort((columns["frame"], first[number]))
    _, lengths = np.unique(first[number], return_counts=True)
    return order, lengths
