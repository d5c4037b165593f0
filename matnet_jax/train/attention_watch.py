"""How the attention maps develop through training: numbers, and the same few faces each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipeline.training.sources import Source
from matnet_jax.detectors.base import Detector
from matnet_jax.evaluation.scorer import Scorer
from matnet_jax.metrics import map_statistics
from matnet_jax.report.overlays import Overlay, laid_over_faces


class AttentionWatch:
    """Maps of some faces of a source, which stay the same through training.

    Args:
      model: the network.
      scorer: of the network.
      source: of validation.
      rows: the faces; every process computes them.
    """

    def __init__(self, model: Detector, scorer: Scorer, source: Source, rows: np.ndarray) -> None:
        self._model, self._scorer = model, scorer
        self._source, self._rows = source, rows

    def look(
        self, variables: Mapping[str, Any]
    ) -> tuple[dict[str, float | None], np.ndarray | None]:
        """What the maps of a state look like.

        Args:
          variables: what the model's `apply` takes.

        Returns:
          ``map_overlap`` and ``map_entropy`` over the faces (see `map_statistics`), and what the
          network itself watches; and a picture of the faces with their maps, uint8 RGB. Of a
          network without heat maps, its own numbers and None.
        """
        overlays: list[Overlay] = self._scorer.overlays(variables, self._source, self._rows)
        if not overlays:
            return self._model.watch(variables), None
        found = map_statistics(np.stack([overlay.attention for overlay in overlays]))
        numbers = {
            "map_overlap": found["overlap"],
            "map_entropy": found["entropy"],
            **self._model.watch(variables),
        }
        return numbers, laid_over_faces(overlays)
