"""The embedded data set as folders of frames, so that it goes the way of every other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from data_pipeline.datasets.base import DataSet, Listing, Video
from data_pipeline.files import atomic_folder


@dataclasses.dataclass(frozen=True)
class Synthetic(DataSet):
    """Draws its clips below `root`, a folder of PNG frames each, where they are not there yet.

    The masks of a fake lie in a folder of their own, in a folder beside.

    The frames are cut faces: prepare them with `--detector=none`.

    Attributes:
      identities: people a split.
      size: of the frames in pixels.
      seed: another one makes other people.
    """

    identities: int = 16
    size: int = 128
    seed: int = 0

    def list(self, root: Path, *, compression: str, splits: tuple[str, ...]) -> Listing:
        """See `DataSet.list`."""
        from data_pipeline.synthetic import draw_clips  # SciPy: not for every other data set

        videos: list[Video] = []
        for split in splits:
            folder = root / f"{self.identities}-{self.size}px-seed{self.seed}" / split
            clips = draw_clips(
                split, seed=self.seed, num_identities=self.identities, image_size=self.size
            )
            columns = clips.columns
            for name in np.unique(columns["video_id"]):
                rows = np.flatnonzero(columns["video_id"] == name)
                _draw(folder / str(name), clips.images[rows], columns["frame"][rows])
                label = int(columns["label"][rows[0]])
                mask = root / f"{folder.parent.name}-masks" / split / str(name) if label else None
                if mask is not None:
                    white = np.repeat(clips.mask[rows][..., None], 3, axis=-1)
                    _draw(mask, white, columns["frame"][rows])
                subset, person = (str(columns[k][rows[0]]) for k in ("subset", "source_id"))
                videos.append(
                    Video(
                        dataset="synthetic",
                        subset=subset,
                        compression="jpeg",
                        split=split,
                        video_id=str(name),
                        source_id=person,
                        label=label,
                        path=folder / str(name),
                        original=str(name).removesuffix(f"_{subset}"),
                        people=(person,),
                        mask=mask,
                    )
                )
        return Listing.of(videos)


def _draw(folder: Path, images: np.ndarray, numbers: np.ndarray) -> None:
    """A folder of frames, whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    if folder.is_dir():
        return
    with atomic_folder(folder) as building:
        for image, number in zip(images, numbers, strict=True):
            encoded = cv2.imencode(".png", image[..., ::-1])[1]
            # Not by OpenCV, which says nothing of a full disk.
            (building / f"{number:04d}.png").write_bytes(encoded.tobytes())
