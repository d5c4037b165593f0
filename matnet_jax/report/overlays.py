"""Attention maps laid over faces, as in Figures 4 to 6 of the paper."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from matnet_jax.metrics import map_statistics

TILE = 224
_RAMP = np.arange(256, dtype=np.uint8)[:, None]
INFERNO = cv2.applyColorMap(_RAMP, cv2.COLORMAP_INFERNO)[:, 0, ::-1]
"""Colours of 0 to 1, uint8 RGB [256, 3]."""


@dataclass(frozen=True)
class Overlay:
    """A face and the attention that the network paid it.

    Attributes:
      image: the face, uint8 RGB [H,W,3].
      attention: its attention maps, non-negative floats [h,w,M].
      label: 0 real, 1 fake.
      score: P(fake).
      title: what it is, such as its video and frame; shown as text.
    """

    image: np.ndarray
    attention: np.ndarray
    label: int
    score: float
    title: str = ""
    # Made here so that a bad array is an error where it comes from, not in a template.
    statistics: dict = field(init=False)

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[-1] != 3:
            raise ValueError(
                f"an overlay's image is {self.image.dtype} {self.image.shape}, wanted uint8 [H,W,3]"
            )
        if self.attention.ndim != 3:
            raise ValueError(
                f"an overlay's attention has shape {self.attention.shape}, wanted [h,w,M]"
            )
        object.__setattr__(self, "statistics", map_statistics(self.attention[None]))


@dataclass(frozen=True)
class Tiles:
    """An overlay as the page shows it: data URIs of JPEGs."""

    face: str
    maps: list[str]
    peak: float
    label: int
    score: float
    title: str


def tiles(overlay: Overlay) -> Tiles:
    """Renders the face and each of its maps.

    All maps of a face share one scale, from 0 to the highest value in any of them, so that a weak
    map looks weak.
    """
    face = Image.fromarray(overlay.image)
    face.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    attention = np.asarray(overlay.attention, np.float32)
    peak = float(attention.max(initial=0.0))
    return Tiles(
        face=data_uri(face),
        maps=[
            data_uri(laid_over(face, attention[..., k] / (peak or 1.0)))
            for k in range(attention.shape[-1])
        ],
        peak=peak,
        label=int(overlay.label),
        score=float(overlay.score),
        title=overlay.title,
    )


def laid_over_faces(overlays: Sequence[Overlay], side: int = 112) -> np.ndarray:
    """A row a face: the face, then each of its maps over it; uint8 RGB.

    Args:
      overlays: of at least one face.
      side: of a tile in pixels.
    """
    rows = []
    for overlay in overlays:
        face = Image.fromarray(overlay.image).resize((side, side), Image.Resampling.LANCZOS)
        peak = float(overlay.attention.max(initial=0.0)) or 1.0
        maps = np.moveaxis(np.asarray(overlay.attention, np.float32) / peak, -1, 0)
        tiles = [face, *(laid_over(face, one) for one in maps)]
        rows.append(np.hstack([np.asarray(tile) for tile in tiles]))
    return np.vstack(rows)


def joined_heatmaps(heatmaps: Mapping[str, np.ndarray]) -> np.ndarray:
    """All heat maps of a batch as one array: {name: [...,h,w,K]} -> float32 [...,H,W,ΣK].

    Maps of fewer cells are grown to the largest by repeating cells.
    """
    height = max(maps.shape[-3] for maps in heatmaps.values())
    width = max(maps.shape[-2] for maps in heatmaps.values())

    def grown(maps: np.ndarray) -> np.ndarray:
        rows = np.arange(height) * maps.shape[-3] // height
        columns = np.arange(width) * maps.shape[-2] // width
        return np.asarray(maps, np.float32)[..., rows, :, :][..., columns, :]

    return np.concatenate([grown(maps) for maps in heatmaps.values()], axis=-1)


def statistics(overlays: Sequence[Overlay]) -> list[dict]:
    """`map_statistics` over the real, the fake and all overlays, means of their defined values."""
    groups = (
        ("real", [o for o in overlays if o.label == 0]),
        ("fake", [o for o in overlays if o.label == 1]),
        ("all", list(overlays)),
    )
    return [
        {
            "faces": name,
            "num_faces": len(group),
            **{
                key: _mean([o.statistics[key] for o in group])
                for key in ("overlap", "entropy", "dead_maps")
            },
        }
        for name, group in groups
        if group
    ]


def legend_gradient(stops: int = 12) -> str:
    """The colour map as a CSS gradient, from 0 to the peak."""
    colors = INFERNO[np.rint(np.linspace(0, 255, stops)).astype(int)]
    return f"linear-gradient(to right, {', '.join('#' + bytes(c).hex() for c in colors)})"


def laid_over(face: Image.Image, attention: np.ndarray) -> Image.Image:
    """Blends a map with values in [0, 1], [h,w], over the greyed face."""
    grown = Image.fromarray(attention, mode="F").resize(face.size, Image.Resampling.BILINEAR)
    weight = np.clip(np.asarray(grown), 0, 1)[..., None]
    heat = INFERNO[np.minimum(256 * weight[..., 0], 255).astype(np.uint8)]
    grey = np.asarray(face.convert("L"), np.float32)[..., None].repeat(3, axis=-1)
    # Even the peak lets the face through: one must see what is attended to.
    opacity = 0.15 + 0.6 * np.sqrt(weight)
    return Image.fromarray((grey * (1 - opacity) + heat * opacity).astype(np.uint8))


def data_uri(image: Image.Image) -> str:
    """The picture as JPEG, for a page that holds it itself."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
