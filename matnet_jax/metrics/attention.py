"""Whether the attention maps of a network differ, in numbers."""

import numpy as np


def map_statistics(attention: np.ndarray) -> dict[str, float | int | None]:
    """How much the maps of a face overlap and how widely each spreads.

    Args:
      attention: non-negative attention maps [N,h,w,M] of N faces.

    Returns:
      `overlap`: cosine between two maps of a face, meaned over pairs and faces (0 disjoint, 1 the
      same place); `entropy`: spatial entropy of a map divided by log(h·w), meaned (0 one cell, 1
      uniform); `dead_maps`: share of maps that are 0 everywhere, which the other two leave out;
      `num_faces`, `num_maps`. Undefined values are None.

    Raises:
      ValueError: the array has another rank, or negative or non-finite values.
    """
    attention = np.asarray(attention, np.float64)
    if attention.ndim != 4:
        raise ValueError(f"attention maps have shape {attention.shape}, wanted [N,h,w,M]")
    if not np.isfinite(attention).all() or (attention < 0).any():
        raise ValueError("attention maps have negative or non-finite values")
    num_faces, height, width, num_maps = attention.shape
    cells = height * width
    maps = attention.reshape(num_faces, cells, num_maps).transpose(0, 2, 1)
    peak = maps.max(axis=-1, keepdims=True, initial=0.0)
    alive = peak[..., 0] > 0
    # Dividing by the peak first keeps squares of tiny maps from vanishing.
    maps = maps / np.where(peak > 0, peak, 1.0)

    norm = np.linalg.norm(maps, axis=-1, keepdims=True)
    unit = maps / np.where(norm > 0, norm, 1.0)
    cosine = np.einsum("nik,njk->nij", unit, unit)
    upper = np.triu(np.ones((num_maps, num_maps), bool), 1)
    pairs = cosine[(alive[:, :, None] & alive[:, None, :]) & upper]

    total = maps.sum(axis=-1, keepdims=True)
    share = maps / np.where(total > 0, total, 1.0)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=-1)[alive]
    return {
        "overlap": float(np.clip(pairs, 0, 1).mean()) if pairs.size else None,
        "entropy": float(entropy.mean() / np.log(cells)) if entropy.size and cells > 1 else None,
        "dead_maps": float(1 - alive.mean()) if alive.size else None,
        "num_faces": num_faces,
        "num_maps": num_maps,
    }
