"""A probe of records that have no split to fit it on: each person is scored by what others gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from matnet_jax.evaluation.probe.linear import fit_probe
from matnet_jax.metrics.bootstrap import resampling_units


def cross_validated(
    features: np.ndarray, columns: Mapping[str, Any], *, folds: int, classifier: str = "logistic"
) -> np.ndarray:
    """Scores by probes with a penalty of 1, each fitted to all people but those that it scores.

    Args:
      features: [N, D].
      columns: of the faces, [N]. What one `source_id` shares stays together; a video without one
        stands alone.
      folds: parts that people are divided into, at least 2.
      classifier: of `CLASSIFIERS`.

    Returns:
      P(fake), float64 [N].

    Raises:
      ValueError: there are fewer people than folds, or all but a fold's are of one class.
    """
    units = resampling_units(columns, "identity")
    if not 2 <= folds <= units.num_units:
        raise ValueError(
            f"{folds} folds of {units.num_units} people: wanted at least 2, and no more than people"
        )
    labels = np.asarray(columns["label"])
    scores, nothing = np.empty(len(labels)), {"label": labels[:0]}
    for fitted, scored in GroupKFold(folds).split(features, labels, units.row_unit):
        probe = fit_probe(
            features[fitted], labels[fitted], features[:0], nothing, classifier=classifier
        )
        scores[scored] = probe.score(features[scored])
    return scores
