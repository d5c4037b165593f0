"""A picture of the benchmark, for eyes: some fakes of each kind with their two photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.files import atomic_path
from data_pipeline.swaps.lists import Item
from data_pipeline.swaps.make import load
from data_pipeline.swaps.portraits import SwapError

_SIZE = 240


def write_sheet(items: Sequence[Item], out: Path, path: Path, *, rows: int) -> None:
    """Writes a PNG: side by side the subsets of fakes, each as target, donor and fake.

    Args:
      items: all images of the benchmark.
      out: its folder.
      path: of the picture.
      rows: fakes of each subset, spread over them.

    Raises:
      SwapError: an image cannot be read, or the picture not be written.
    """
    real = {item.name: item.path for item in items if not item.label}
    columns = []
    for subset in dict.fromkeys(item.subset for item in items if item.label):
        fakes = [item for item in items if item.subset == subset]
        chosen = [fakes[i] for i in np.linspace(0, len(fakes) - 1, rows).astype(int)]
        shown = [[real[source.name] for source in one.made_of] + [one.path] for one in chosen]
        lines = [np.concatenate([_square(load(out / p)) for p in line], axis=1) for line in shown]
        columns.append(np.concatenate(lines))
    with atomic_path(path) as temporary:
        picture = cv2.cvtColor(np.concatenate(columns, axis=1), cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(temporary), picture):
            raise SwapError(f"cannot write {path}")


def _square(image: np.ndarray) -> np.ndarray:
    """An image shrunk into a grey square."""
    scale = _SIZE / max(image.shape[:2])
    height, width = (max(round(n * scale), 1) for n in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    below, right = _SIZE - height, _SIZE - width
    return np.asarray(
        cv2.copyMakeBorder(
            small,
            *(below // 2, below - below // 2, right // 2, right - right // 2),
            cv2.BORDER_CONSTANT,
            value=(128, 128, 128),
        )
    )
