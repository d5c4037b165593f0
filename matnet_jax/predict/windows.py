"""Faces as a network takes them: one by one, or so many successive ones of a person."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from matnet_jax.predict.media import Crop


@dataclasses.dataclass(frozen=True)
class Window:
    """Faces of one person that are scored at once.

    Attributes:
      crops: in order of time.
      length: that the network takes; where there are fewer, the last one is repeated.
      seen: so many of the first were in an earlier window.
    """

    crops: tuple[Crop, ...]
    length: int = 1
    seen: int = 0

    @property
    def file(self) -> int:
        """Of the crops."""
        return self.crops[0].file

    @property
    def track(self) -> int:
        """Of the crops."""
        return self.crops[0].track

    @property
    def image(self) -> np.ndarray:
        """uint8 RGB [S, S, 3]; of several faces [T, S, S, 3]."""
        if self.length == 1:
            return self.crops[0].image
        missing = self.length - len(self.crops)
        return np.stack([crop.image for crop in (*self.crops, *self.crops[-1:] * missing)])


class Windows:
    """Cuts the faces of each person into windows one after the other, as an evaluation cuts clips.

    The last one is moved back to end with the person's last face (see `ClipSource`). Of each person
    in view the faces of two windows are kept.

    Args:
      length: faces of a window.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._open: dict[tuple[int, int], list[Crop]] = {}
        self._last: dict[tuple[int, int], list[Crop]] = {}

    def add(self, crop: Crop) -> Iterator[Window]:
        """The window that a face makes whole, if it does; a track's faces come in order of time."""
        if self._length == 1:
            yield Window((crop,))
            return
        person = crop.file, crop.track
        faces = self._open.setdefault(person, [])
        faces.append(crop)
        if len(faces) == self._length:
            self._last[person] = self._open.pop(person)
            yield Window(tuple(faces), self._length)

    def end(self, file: int) -> Iterator[Window]:
        """The windows that are left of a file of which no more faces come."""
        for person in [person for person in self._open if person[0] == file]:
            faces = self._open.pop(person)
            before = self._last.get(person, [])[len(faces) :]
            yield Window((*before, *faces), self._length, len(before))
        for person in [person for person in self._last if person[0] == file]:
            del self._last[person]
