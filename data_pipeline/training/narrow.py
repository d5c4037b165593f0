"""A narrower crop out of a wide one, as prediction would have cut it from the photo.

Records may hold more around the face than a network is to see: self-blended images need the room.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipeline.extract.crop import box_transform, crop_points, warp, warp_mask
from data_pipeline.extract.protocol import CropProtocol
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.sources import Source


def cut_square(example: Example, box: np.ndarray, *, margin: float, size: int) -> Example:
    """The upright square around a box, sampled as `crop_face` samples a photo.

    Args:
      example: its landmarks and its box move along; outside the image its border is reflected.
      box: x0, y0, x1, y1 in pixels of the image.
      margin: the square's side in the longer sides of the box.
      size: of the result in pixels.
    """
    matrix = box_transform(box, size, margin)
    return dataclasses.replace(
        example.with_points(lambda points: crop_points(points, matrix)),
        image=warp(example.image, matrix, size),
        mask=None if example.mask is None else warp_mask(example.mask, matrix, size),
    )


def narrow(example: Example, *, share: float, size: int) -> Example:
    """The middle of a crop of alignment "box", which is the middle of the face's box.

    Args:
      example: a square crop.
      share: the side of the result in sides of the crop.
      size: of the result in pixels.
    """
    side = example.image.shape[0]
    return cut_square(example, np.array([0, 0, side, side]), margin=share, size=size)


class Narrowed:
    """A source whose crops are narrowed to the square that a network sees.

    Its crop protocol is that of the narrowed crops, so that prediction cuts photos likewise.

    Args:
      source: of crops of alignment "box".
      margin: side of the narrowed crops in longer sides of the face's box.
      size: of the narrowed crops in pixels.

    Attributes:
      wide: the source as it is.

    Raises:
      DataError: how its faces were cut is not known, or they were cut otherwise or narrower.
    """

    def __init__(self, source: Source, *, margin: float, size: int) -> None:
        asked = f"config.data.crop_margin={margin:g}"
        protocol = source.crop_protocol
        if protocol is None:
            raise DataError(
                f"{asked} is a part of crops of a known margin, and how those of {source} were cut "
                "is not known: prepare them again with --alignment=box and a --margin, or set it "
                "to None"
            )
        if protocol.alignment != "box":
            raise DataError(
                f"{asked} needs upright crops around the face's box; {source} are of alignment "
                f"'{protocol.alignment}': prepare them with --alignment=box, or set it to None"
            )
        if margin > protocol.margin:
            raise DataError(
                f"{asked} is wider than {source}, which have a margin of {protocol.margin:g}: "
                f"choose at most that, or prepare them with --margin={margin:g}"
            )
        self.wide = source
        self._share, self._size = margin / protocol.margin, size
        self.columns: Mapping[str, np.ndarray] = source.columns
        self.fields: tuple[str, ...] = source.fields
        self.crop_protocol: CropProtocol | None = dataclasses.replace(
            protocol, margin=float(margin), crop_size=size
        )

    def __len__(self) -> int:
        return len(self.wide)

    def __str__(self) -> str:
        return str(self.wide)

    def read(self, indices: np.ndarray, fields: Sequence[str] = ()) -> list[Example]:
        """See `Source.read`."""
        examples = self.wide.read(indices, fields)
        return [narrow(example, share=self._share, size=self._size) for example in examples]
