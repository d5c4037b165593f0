"""How the attention maps develop through training: numbers, and the same few faces each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from data_pipeline.training.sources import Source
from matnet_jax.evaluation.scorer import Scorer
from matnet_jax.metrics import map_statistics
from matnet_jax.report.overlays import Overlay, laid_over_faces


class AttentionWatch:
    """Maps of some faces of a source, which stay the same through training.

    Args:
      scorer: of the network.
      source: of validation.
      rows: the faces; every process computes them.
    """

    def __init__(self, scorer: Scorer, source: Source, rows: np.ndarray):
        self._scorer, self._source, self._rows = scorer, source, rows

    def look(
        self, variables: Mapping[str, Any]
    ) -> tuple[dict[str, float | None], np.ndarray | None]:
        """What the maps of a state look like.

        Args:
          variables: what the model's `apply` takes.

        Returns:
          ``map_overlap`` and ``map_entropy`` over the faces (see `map_statistics`),
          ``center_distance``, the mean distance between two feature centers; and a picture of the
          faces with their maps, uint8 RGB. A plain classifier has neither: {} and None.
        """
        overlays: list[Overlay] = self._scorer.overlays(variables, self._source, self._rows)
        if not overlays:
            return {}, None
        found = map_statistics(np.stack([overlay.attention for overlay in overlays]))
        numbers = {
            "map_overlap": found["overlap"],
            "map_entropy": found["entropy"],
            "center_distance": center_distance(variables),
        }
        return numbers, laid_over_faces(overlays)


def center_distance(variables: Mapping[str, Any]) -> float | None:
    """Mean Euclidean distance between two of the feature centers; None for fewer than two."""
    centers = jax.device_get(variables.get("feature_centers", {}).get("centers"))
    if centers is None or len(centers) < 2:
        return None
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    return float(apart[np.triu_indices(len(centers), 1)].mean())
