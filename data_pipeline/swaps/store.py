"""How an image of the benchmark is stored: real or fake, the same way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipeline.files import atomic_file
from data_pipeline.swaps.portraits import SwapError
from data_pipeline.training.disturb import h264

FORMATS = {"png": ".png", "jpeg": ".jpg"}


@dataclasses.dataclass(frozen=True)
class Storage:
    """What every image goes through before it is a file.

    Attributes:
      format: "png", without loss, or "jpeg".
      quality: of JPEG.
      crf: of x264, as whose only frame an image is encoded first; None leaves that out.
    """

    format: str = "png"
    quality: int = 95
    crf: int | None = None

    @property
    def suffix(self) -> str:
        """Of the files."""
        return FORMATS[self.format]

    @property
    def compression(self) -> str:
        """As the column of the list of files has it: "png", "jpeg95", "png_crf23"."""
        name = f"jpeg{self.quality}" if self.format == "jpeg" else self.format
        return name if self.crf is None else f"{name}_crf{self.crf}"

    def write(self, path: Path, image: np.ndarray) -> None:
        """Writes an image; there is the whole file, or none.

        Args:
          path: its folder is made.
          image: uint8 RGB [H, W, 3].

        Raises:
          SwapError: OpenCV cannot encode it.
          ImportError: PyAV is missing, where `crf` is set.
        """
        if self.crf is not None:
            [image] = h264([image], self.crf)
        options: list[Any] = []
        if self.format == "jpeg":
            options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        done, data = cv2.imencode(self.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        if not done:
            raise SwapError(f"cannot encode {path} ({image.shape[1]}×{image.shape[0]} pixels)")
        with atomic_file(path, "wb") as file:
            file.write(data.tobytes())
